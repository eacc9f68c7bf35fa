import type { KubeConfig } from '@kubernetes/client-node';
import { type Dispatcher, request as undiciRequest } from 'undici';
import { type Clock, systemClock } from './clock.ts';
import { type Connections, createConnections, MAX_CONNECTIONS, type PoolName } from './connections.ts';
import { startDeadline } from './deadline.ts';
import { ApiError, apiErrorOf, parseRetryAfter } from './errors.ts';
import { createLine } from './line.ts';
import { pauseUntilReconnect } from './reconnect.ts';

export const JSON_PATCH = 'application/json-patch+json';
export const MERGE_PATCH = 'application/merge-patch+json';
/** Server-side apply; JSON is YAML. */
export const APPLY_PATCH = 'application/apply-patch+yaml';

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_RETRIES = 3;
/** A request whose server asks for a longer pause fails instead: its caller has a queue to wait in. */
const MAX_RETRY_WAIT_MS = 30_000;

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface TransportRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path of the API, e.g. `/api/v1/nodes/a`, each part already encoded. */
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** `application/json` if absent; a PATCH has to name its own. */
  readonly contentType?: string;
  /** Deadline of each try, from when it has a connection; 30 s if absent. */
  readonly timeoutMs?: number | undefined;
  /** 3 if absent. */
  readonly maxRetries?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** `requests` if absent, where a line forms when there are more than connections; Leases wait for nothing else. */
  readonly pool?: Exclude<PoolName, 'watches'> | undefined;
}

export interface StreamOptions {
  readonly query?: Query;
  readonly signal: AbortSignal;
}

/** One request that ended; `code` is the HTTP status, 0 without an answer. A watch counts when its answer begins. */
export interface RequestReport {
  readonly method: string;
  readonly code: number;
  readonly durationMs: number;
}

export interface TransportOptions {
  /** E.g. `btrfs-operator/0.1.0 (agent)`. */
  readonly userAgent: string;
  readonly onRequest?: (report: RequestReport) => void;
  readonly clock?: Clock;
}

/**
 * HTTP to the API server: JSON in and out, auth and TLS of a kubeconfig, connections reused. Throws {@link ApiError},
 * or the signal's reason.
 */
export interface Transport {
  /**
   * The parsed body of a successful answer. 429 and 503 with `Retry-After` are tried again, unless the request is one
   * that does something else the second time (POST, JSON patch); a GET also, once, when its connection broke.
   */
  request(request: TransportRequest): Promise<unknown>;
  /**
   * The body of a successful GET in chunks, for a watch: no deadline but for the first byte; leave the loop or abort
   * to end it.
   */
  stream(path: string, options: StreamOptions): Promise<AsyncIterable<Uint8Array>>;
  /**
   * For when the server is back after it was out of reach: breaks off what runs, which may hang on connections that died without
   * a word, and tells all who wait to try again.
   */
  reconnect(): void;
  /** Told of each {@link reconnect}. Returns what ends that. */
  onReconnect(listener: () => void): () => void;
  /** Breaks off what still runs and closes all connections. */
  close(): Promise<void>;
}

/** Opens no connection yet. */
export function createTransport(kubeConfig: KubeConfig, options: TransportOptions): Transport {
  return new HttpTransport(createConnections(kubeConfig), options);
}

class HttpTransport implements Transport {
  readonly #connections: Connections;
  readonly #options: TransportOptions;
  readonly #clock: Clock;
  /** A request that waits for a connection is not yet on its way: the time for its answer has not begun. */
  readonly #line = createLine(MAX_CONNECTIONS);
  readonly #listeners = new Set<() => void>();

  constructor(connections: Connections, options: TransportOptions) {
    this.#connections = connections;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  async request(request: TransportRequest): Promise<unknown> {
    for (let retries = 0; ; retries++) {
      try {
        return await this.#tryOnce(request);
      } catch (error) {
        const waitMs = retryDelayMs(request, error, retries);
        if (waitMs === undefined) throw error;
        await pauseUntilReconnect(this, this.#clock, waitMs, request.signal);
        request.signal?.throwIfAborted();
      }
    }
  }

  async stream(path: string, options: StreamOptions): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send({ method: 'GET', path, ...options }, 'watches', options.signal);
    return response.body;
  }

  reconnect(): void {
    this.#connections.breakOff();
    for (const listener of this.#listeners) listener();
  }

  onReconnect(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.#connections.close();
  }

  async #tryOnce(request: TransportRequest): Promise<unknown> {
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const what = `${request.method} ${request.path}`;
    const { pool = 'requests' } = request;
    using _place = pool === 'requests' ? await this.#line.enter(request.signal) : undefined;
    using deadline = startDeadline(timeoutMs, request.signal);
    try {
      const response = await this.#send(request, pool, deadline.signal);
      return parseBody(what, response.statusCode, await response.body.text());
    } catch (error) {
      request.signal?.throwIfAborted();
      if (deadline.expired) throw new ApiError(0, 'Timeout', `${what}: no answer within ${timeoutMs / 1000} s`);
      throw error instanceof ApiError ? error : unreachable(what, error);
    }
  }

  /** A successful answer whose body is still to be read. */
  async #send(request: TransportRequest, pool: PoolName, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const method = pool === 'watches' ? 'WATCH' : request.method;
    const what = `${method} ${request.path}`;
    const startedAtMs = this.#clock.monotonicMs();
    const report = (code: number) =>
      this.#options.onRequest?.({ method, code, durationMs: this.#clock.monotonicMs() - startedAtMs });
    let response: Dispatcher.ResponseData;
    try {
      const { headers, pools } = await this.#connections.current();
      response = await undiciRequest(this.#connections.server + request.path + queryText(request.query), {
        dispatcher: pools[pool],
        method: request.method,
        headers: { ...headers, ...contentHeaders(request, this.#options.userAgent) },
        body: request.body === undefined ? null : JSON.stringify(request.body),
        signal,
      });
    } catch (error) {
      report(0);
      signal.throwIfAborted();
      throw error instanceof ApiError ? error : unreachable(what, error);
    }
    report(response.statusCode);
    if (response.statusCode >= 200 && response.statusCode < 300) return response;
    if (response.statusCode === 401) this.#connections.expire();
    throw await this.#errorOf(what, response);
  }

  async #errorOf(what: string, response: Dispatcher.ResponseData): Promise<ApiError> {
    const text = await response.body.text();
    const retryAfter = response.headers['retry-after'];
    const retryAfterMs = parseRetryAfter(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter, this.#clock.now());
    return apiErrorOf(what, response.statusCode, tryParse(text), retryAfterMs);
  }
}

function contentHeaders(request: TransportRequest, userAgent: string): Record<string, string> {
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': userAgent };
  if (request.body !== undefined) headers['content-type'] = request.contentType ?? 'application/json';
  return headers;
}

function queryText(query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}

/** How long to wait before the same request is sent again; undefined if the error stands. */
function retryDelayMs(request: TransportRequest, error: unknown, retries: number): number | undefined {
  if (!(error instanceof ApiError) || retries >= (request.maxRetries ?? DEFAULT_MAX_RETRIES)) return undefined;
  if (error.reason === 'Unreachable') return request.method === 'GET' && retries === 0 ? 0 : undefined;
  const repeatable = request.method !== 'POST' && request.contentType !== JSON_PATCH;
  if (!repeatable || (error.code !== 429 && error.code !== 503)) return undefined;
  const { retryAfterMs } = error;
  if (retryAfterMs === undefined || retryAfterMs > MAX_RETRY_WAIT_MS) return undefined;
  // Up to a tenth more, so that those who were refused together don't come back together.
  return retryAfterMs * (1 + Math.random() / 10);
}

function parseBody(what: string, code: number, text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(0, 'InvalidResponse', `${what}: HTTP ${code} with a body that is not JSON`, { cause: error });
  }
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names a failed connection by its code: texts of the socket hold ports and times, which differ each time. */
function unreachable(what: string, error: unknown): ApiError {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  const why = typeof code === 'string' ? code : String(name ?? 'unknown');
  return new ApiError(0, 'Unreachable', `${what}: no connection to the API server (${why})`, { cause: error });
}
