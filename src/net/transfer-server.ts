import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { createPlaces, LineFullError, type Places } from '../runtime/places.ts';
import { parseAddress } from './address.ts';
import { nodeNameOfAltNames } from './certificates/node-uri.ts';
import {
  ALL_SMALLER,
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
  /** All is sent because the difference would be larger. */
  readonly isAllSmaller?: boolean;
}

export interface PeerRequest extends StreamRequest {
  /** Proven by the certificate of the peer. */
  readonly peerNodeName: string;
}

/** Both throw {@link TransferRefusal} to refuse. Their signal aborts when the peer is gone or stalls, or the server stops. */
export interface StreamSource {
  /** The peer may have what it asks for. Asked before the request has a place, or one in line. */
  readonly authorise: (request: PeerRequest, signal: AbortSignal) => Promise<void>;
  /** Decides once more and starts the stream: the turn of the request may have come long after. */
  readonly serve: (request: PeerRequest, signal: AbortSignal) => Promise<ServedStream>;
}

export interface TransferServerOptions extends StreamSource {
  /** `host:port` or `:port`; port 0 for a free one. */
  readonly address: string;
  readonly identity: TlsIdentity;
  /** Streams sent at once, half of them to one peer at most; other requests wait, in turn between namespaces. */
  readonly limit: number;
  /** Requests that may wait; 256 if absent. */
  readonly maxWaiting?: number;
  /** Requests of one peer at once, in line or not; 32 if absent: more than an agent has passes that fetch. */
  readonly maxOfPeer?: number;
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
const DEFAULT_MAX_OF_PEER = 32;
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
  const limitWithin = Math.ceil(limit / 2);
  const places = createPlaces({ limit, limitWithin, maxWaiting, ...(hooks?.onLine && { onChange: hooks.onLine }) });
  const ofPeers = createPlaces({ limit: MAX_CONNECTIONS, limitWithin: options.maxOfPeer ?? DEFAULT_MAX_OF_PEER });
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
    (request, response) => void new Exchange(options, { places, ofPeers }, request, response).run(stopped.signal),
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

/** Places of streams, and of requests. */
interface Limits {
  readonly places: Places;
  readonly ofPeers: Places;
}

/** One request and its answer. */
class Exchange {
  readonly #options: TransferServerOptions;
  readonly #limits: Limits;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #idleMs: number;

  constructor(options: TransferServerOptions, limits: Limits, request: IncomingMessage, response: ServerResponse) {
    this.#options = options;
    this.#limits = limits;
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
    const { authorise, serve, hooks } = this.#options;
    const response = this.#response;
    const occupant = { namespace: request.namespace, within: request.peerNodeName };
    using ofPeer = this.#limits.ofPeers.take(occupant);
    if (ofPeer === undefined) throw busy(`node ${request.peerNodeName} asks for as many as one may`);
    const beat = setInterval(() => response.writeProcessing(), this.#idleMs / BEATS);
    try {
      await authorise(request, signal);
      using _place = await this.#limits.places.acquire(occupant, signal);
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

  #switchProtocols({ incrementalFrom, totalBytesEstimate, isAllSmaller }: ServedStream): void {
    this.#response.writeHead(101, {
      connection: 'upgrade',
      upgrade: PROTOCOL,
      ...(incrementalFrom === undefined ? {} : { [INCREMENTAL_FROM]: incrementalFrom }),
      ...(totalBytesEstimate === undefined ? {} : { [BYTES_ESTIMATE]: String(totalBytesEstimate) }),
      ...(isAllSmaller === true ? { [ALL_SMALLER]: 'true' } : {}),
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
  if (error instanceof LineFullError) return busy(error.message);
  return error instanceof TransferRefusal ? error : undefined;
}

function busy(why: string): TransferRefusal {
  return new TransferRefusal('Busy', `too many transfers: ${why}`, { retryAfterMs: BUSY_RETRY_MS });
}
