import { createHash } from 'node:crypto';
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, type buildConnector, type Dispatcher, ProxyAgent } from 'undici';
import { ApiError } from './errors.ts';

/**
 * How often the files behind the configuration (token, CA, client certificate) are read again, as client-go does for
 * tokens.
 */
const CREDENTIALS_MAX_AGE_MS = 10_000;
/**
 * Connections for everything but watches: enough for parallel passes, and a fleet of agents stays cheap for the
 * server.
 */
export const MAX_CONNECTIONS = 8;
/** A peer that is gone is noticed by the kernel's probes, one a second, ten times, after a connection was silent for so long. */
const PROBE_AFTER_MS = 5_000;
const PROBED = { keepAlive: true, keepAliveInitialDelay: PROBE_AFTER_MS };
const HEADERS_TIMEOUT_MS = 30_000;

/** What one request needs: who we are and over which pool to ask. */
export interface Connection {
  readonly headers: Readonly<Record<string, string>>;
  readonly pools: Readonly<Record<PoolName, Dispatcher>>;
}

/**
 * Watches never use up the connections of requests. Leases, by which others know that we live, wait behind nothing.
 */
export type PoolName = 'requests' | 'watches' | 'leases';

export interface Connections {
  /** The API server's URL without a slash at its end. */
  readonly server: string;
  /** The connection to use now: refreshed tokens; new pools when a certificate or the CA changed. Throws ApiError. */
  current(): Promise<Connection>;
  /** Makes the next `current` read the credentials anew. */
  expire(): void;
  /** Breaks off what runs, but on Leases: a connection may have died without a word. The next `current` opens anew. */
  breakOff(): void;
  close(): Promise<void>;
}

/** Opens nothing yet. Throws if the configuration names no cluster or an unsupported proxy. */
export function createConnections(kubeConfig: KubeConfig): Connections {
  const cluster = kubeConfig.getCurrentCluster();
  if (cluster === null) throw new Error('kubeconfig: the current context names no cluster');
  return new KubeConfigConnections(kubeConfig, cluster.server.replace(/\/+$/, ''));
}

class KubeConfigConnections implements Connections {
  readonly server: string;
  readonly #kubeConfig: KubeConfig;
  readonly #retired = new Set<Dispatcher>();
  #connection: Connection | undefined;
  #fingerprint = '';
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<Connection> | undefined;
  #closed = false;

  constructor(kubeConfig: KubeConfig, server: string) {
    this.#kubeConfig = kubeConfig;
    this.server = server;
  }

  async current(): Promise<Connection> {
    if (this.#connection !== undefined && performance.now() - this.#readAtMs < CREDENTIALS_MAX_AGE_MS) {
      return this.#connection;
    }
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  expire(): void {
    this.#readAtMs = Number.NEGATIVE_INFINITY;
  }

  breakOff(): void {
    const previous = this.#connection;
    this.#connection = undefined;
    this.expire();
    if (previous === undefined) return;
    const { leases, ...others } = previous.pools;
    this.#retire(leases);
    // What breaks is an error of who waits for it.
    for (const pool of Object.values(others)) void pool.destroy().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const open = [...Object.values(this.#connection?.pools ?? {}), ...this.#retired];
    await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
  }

  async #read(): Promise<Connection> {
    const options: RequestOptions = {};
    try {
      await this.#kubeConfig.applyToHTTPSOptions(options);
    } catch (error) {
      // A rotation replaces files; what was read before is good until the server says otherwise.
      if (this.#connection !== undefined) return this.#connection;
      throw new ApiError(0, 'CredentialsUnavailable', "credentials of the API server can't be read", { cause: error });
    }
    if (this.#closed) throw new ApiError(0, 'Unreachable', 'the transport to the API server is closed');
    this.#readAtMs = performance.now();
    this.#connection = this.#connectionOf(options);
    return this.#connection;
  }

  #connectionOf(options: RequestOptions): Connection {
    const headers = authHeaders(options);
    const fingerprint = fingerprintOf(options);
    const previous = this.#connection;
    if (previous !== undefined && fingerprint === this.#fingerprint) return { ...previous, headers };
    for (const pool of Object.values(previous?.pools ?? {})) this.#retire(pool);
    this.#fingerprint = fingerprint;
    const pools = {
      requests: this.#createDispatcher(options, { connections: MAX_CONNECTIONS }),
      watches: this.#createDispatcher(options, {}),
      leases: this.#createDispatcher(options, {}),
    };
    return { headers, pools };
  }

  /** Lets what runs on an old pool end by itself. */
  #retire(dispatcher: Dispatcher): void {
    this.#retired.add(dispatcher);
    dispatcher.close().then(
      () => this.#retired.delete(dispatcher),
      () => this.#retired.delete(dispatcher),
    );
  }

  #createDispatcher(options: RequestOptions, limits: Agent.Options): Dispatcher {
    const target = this.#kubeConfig.createDispatcherOptions(this.#kubeConfig.getCurrentCluster(), tlsOf(options));
    // HTTP/2: undici closes all streams of a session on GOAWAY, which API servers send to spread load.
    const common = { ...limits, allowH2: false, headersTimeout: HEADERS_TIMEOUT_MS, bodyTimeout: 0 };
    switch (target.type) {
      case 'none':
        return new Agent({ ...common, connect: PROBED });
      case 'agent':
        return new Agent({ ...common, connect: { ...(target.connect as buildConnector.BuildOptions), ...PROBED } });
      case 'proxy':
        return new ProxyAgent({
          ...common,
          uri: target.uri,
          proxyTls: PROBED,
          requestTls: target.requestTls as buildConnector.BuildOptions,
        });
      case 'socks':
        throw new Error('kubeconfig: a SOCKS proxy-url is not supported; use an http or https one');
    }
  }
}

function authHeaders(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = String(value).trim();
  }
  if (typeof options.auth === 'string') headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

function tlsOf(options: RequestOptions) {
  const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
  return { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
}

function fingerprintOf(options: RequestOptions): string {
  const hash = createHash('sha256');
  for (const value of Object.values(tlsOf(options))) hash.update(`${String(value)}\0`);
  return hash.digest('hex');
}
