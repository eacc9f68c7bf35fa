import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { createPlaces, LineFullError, type Places } from '../runtime/places.ts';
import { parseAddress } from './address.ts';
import { nodeNameOfAltNames } from './certificates/node-uri.ts';
import {
  BYTES_ESTIMATE,
  INCREMENTAL_FROM,
  PROTOCOL,
  parseStreamPath,
  STATUS_OF_REFUSAL,
  type StreamRequest,
  type TransferHooks,
  type TransferOutcome,
  TransferRefusal,
} from './transfer-protocol.ts';
import { pumpStream } from './transfer-pump.ts';
import { readRequestBody } from './transfer-request.ts';
import { type TlsIdentity, tlsOptions } from './transfer-tls.ts';

/** A stream that is being made for a peer. */
export interface ServedStream {
  readonly stream: Readable;
  /**
   * Fulfilled when the sender has ended well: the end of a pipe does not tell. The peer learns of the end only after it;
   * a rejection breaks the transfer, and its message is told to the peer.
   */
  readonly finished?: Promise<unknown>;
  /** What the stream builds on, as the peer should know it; absent if it is full. */
  readonly incrementalFrom?: string;
  readonly totalBytesEstimate?: number;
}

export interface PeerRequest extends StreamRequest {
  /** Proven by the certificate of the peer. */
  readonly peerNodeName: string;
}

/**
 * Decides about a request and starts the stream; throws {@link TransferRefusal} to refuse. Called when the request's turn has
 * come. The signal aborts when the peer is gone or stalls, or the server stops.
 */
export type ServeStream = (request: PeerRequest, signal: AbortSignal) => Promise<ServedStream>;

export interface TransferServerOptions {
  /** `host:port` or `:port`; port 0 for a free one. */
  readonly address: string;
  readonly identity: TlsIdentity;
  readonly serve: ServeStream;
  /** Streams sent at once; other requests wait, in turn between namespaces. */
  readonly limit: number;
  /** Requests that may wait; 256 if absent. */
  readonly maxWaiting?: number;
  /** How long a peer may take nothing; 30,000 if absent. */
  readonly idleMs?: number;
  /** Until a peer has shown who it is and said what it wants; 10,000 if absent: it is an agent that has both at hand. */
  readonly introductionMs?: number;
  readonly hooks?: TransferHooks | undefined;
  /** Told of what was no refusal. */
  readonly onFailure?: (error: unknown, request: PeerRequest) => void;
}

export interface TransferServer {
  readonly port: number;
  /** New connections use it; running transfers go on. */
  setIdentity(identity: TlsIdentity): void;
  /** Stops listening and breaks off what runs. */
  close(): Promise<void>;
}

const DEFAULT_IDLE_MS = 30_000;
const DEFAULT_MAX_WAITING = 256;
const DEFAULT_INTRODUCTION_MS = 10_000;
const MAX_CONNECTIONS = 512;
const MAX_HEADER_BYTES = 4_096;
const BUFFER_BYTES = 1024 * 1024;
const BUSY_RETRY_MS = 15_000;
/** Signs of life in the longest silence that a peer bears while it waits in line. */
const BEATS = 3;

/** Serves streams to who has a certificate of a node by the operator's authority. Throws if the address can't be had. */
export async function startTransferServer(options: TransferServerOptions): Promise<TransferServer> {
  const stopped = new AbortController();
  const { limit, maxWaiting = DEFAULT_MAX_WAITING, hooks, identity, address } = options;
  const { introductionMs = DEFAULT_INTRODUCTION_MS } = options;
  const places = createPlaces({ limit, maxWaiting, ...(hooks?.onLine && { onChange: hooks.onLine }) });
  const server = createServer(
    {
      ...tlsOptions(identity),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: introductionMs,
      headersTimeout: introductionMs,
      requestTimeout: introductionMs,
      connectionsCheckingInterval: introductionMs / 10,
      maxHeaderSize: MAX_HEADER_BYTES,
      highWaterMark: BUFFER_BYTES,
    },
    (request, response) => void new Exchange(options, places, request, response).run(stopped.signal),
  );
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, address);
  return {
    port: (server.address() as AddressInfo).port,
    setIdentity: (fresh) => server.setSecureContext(tlsOptions(fresh)),
    close: () =>
      new Promise((resolve) => {
        stopped.abort(new Error('the agent stops'));
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, address: string): Promise<void> {
  const { host, port } = parseAddress(address);
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(`can't listen on "${address}": ${error.message}`, { cause: error })),
    );
    server.listen(port, host, resolve);
  });
}

/** One request and its answer. */
class Exchange {
  readonly #options: TransferServerOptions;
  readonly #places: Places;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #idleMs: number;

  constructor(options: TransferServerOptions, places: Places, request: IncomingMessage, response: ServerResponse) {
    this.#options = options;
    this.#places = places;
    this.#request = request;
    this.#response = response;
    this.#idleMs = options.idleMs ?? DEFAULT_IDLE_MS;
  }

  /** Never throws. */
  async run(stopped: AbortSignal): Promise<void> {
    const gone = new AbortController();
    const signal = AbortSignal.any([stopped, gone.signal]);
    this.#response.once('close', () => gone.abort(new Error('the connection is gone')));
    this.#response.on('error', () => undefined); // followed by close
    let request: PeerRequest | undefined;
    let outcome: TransferOutcome = 'done';
    try {
      request = await this.#introduce();
      await this.#answer(request, signal);
    } catch (error) {
      outcome = error instanceof TransferRefusal ? 'refused' : 'failed';
      if (outcome === 'failed' && request !== undefined) this.#options.onFailure?.(error, request);
      this.#refuse(error);
    }
    this.#options.hooks?.onEnd?.('sent', outcome);
  }

  /** Who asks for what. Throws {@link TransferRefusal}. */
  async #introduce(): Promise<PeerRequest> {
    const socket = this.#request.socket as TLSSocket;
    // Nobody is known by an old session: certificates and authorities may have changed since.
    const isProven = socket.authorized && !socket.isSessionReused();
    const peerNodeName = isProven ? nodeNameOfAltNames(socket.getPeerCertificate().subjectaltname) : undefined;
    if (peerNodeName === undefined) throw new TransferRefusal('Forbidden', 'the certificate is not that of a node');
    const target = this.#request.method === 'POST' ? parseStreamPath(this.#request.url ?? '') : undefined;
    if (target === undefined) throw new TransferRefusal('NotFound', 'there are only streams of snapshots');
    return { ...target, ...(await readRequestBody(this.#request)), peerNodeName };
  }

  async #answer(request: PeerRequest, signal: AbortSignal): Promise<void> {
    const { serve, hooks } = this.#options;
    const response = this.#response;
    const beat = setInterval(() => response.writeProcessing(), this.#idleMs / BEATS);
    try {
      using _place = await this.#places.acquire({ namespace: request.namespace, within: request.peerNodeName }, signal);
      const served = await serve(request, signal);
      clearInterval(beat);
      try {
        this.#switchProtocols(served);
      } catch (error) {
        served.stream.destroy();
        throw error;
      }
      const onBytes = hooks?.onBytes && ((bytes: number) => hooks.onBytes?.('sent', bytes));
      await pumpStream(served, { peer: this.#request.socket, idleMs: this.#idleMs, signal, onBytes });
    } finally {
      clearInterval(beat);
    }
  }

  #switchProtocols({ incrementalFrom, totalBytesEstimate }: ServedStream): void {
    this.#response.writeHead(101, {
      connection: 'upgrade',
      upgrade: PROTOCOL,
      ...(incrementalFrom === undefined ? {} : { [INCREMENTAL_FROM]: incrementalFrom }),
      ...(totalBytesEstimate === undefined ? {} : { [BYTES_ESTIMATE]: String(totalBytesEstimate) }),
    });
    this.#response.flushHeaders();
  }

  /** Says why nothing is sent, where that can still be said. */
  #refuse(error: unknown): void {
    const response = this.#response;
    if (response.headersSent || !response.writable) return void response.destroy();
    const refusal = refusalOf(error);
    const status = refusal === undefined ? 500 : STATUS_OF_REFUSAL[refusal.reason];
    const { reason, message, retryAfterMs } = refusal ?? { reason: 'Failed', message: 'the agent failed; see its log' };
    response.shouldKeepAlive = false;
    response
      .writeHead(status, {
        'content-type': 'application/json',
        ...(retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(retryAfterMs / 1000)) }),
      })
      .end(JSON.stringify({ reason, message }));
  }
}

function refusalOf(error: unknown): TransferRefusal | undefined {
  if (error instanceof TransferRefusal) return error;
  if (!(error instanceof LineFullError)) return undefined;
  return new TransferRefusal('Busy', `too many transfers: ${error.message}`, { retryAfterMs: BUSY_RETRY_MS });
}
