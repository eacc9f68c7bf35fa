import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Duplex, Readable } from 'node:stream';
import { parseAddress } from './address.ts';
import { nodeNameOfAltNames } from './certificates/node-uri.ts';
import { FrameReader } from './transfer-frames.ts';
import {
  ALL_SMALLER,
  BYTES_ESTIMATE,
  INCREMENTAL_FROM,
  MAX_ANCESTORS,
  PROTOCOL,
  type RefusalReason,
  STATUS_OF_REFUSAL,
  type StreamRequest,
  streamPath,
  TransferError,
  type TransferHooks,
} from './transfer-protocol.ts';
import { type TlsIdentity, tlsOptions } from './transfer-tls.ts';

/** A node and where it serves. */
export interface Peer {
  readonly nodeName: string;
  /** `host:port`; only who has the certificate of `nodeName` is believed there. */
  readonly endpoint: string;
}

/** A stream that is coming in. */
export interface FetchedStream {
  /** Ends only if the sender said that it is whole; else it is destroyed with a {@link TransferError}, or the signal's reason. */
  readonly stream: Readable;
  readonly incrementalFrom: string | undefined;
  readonly totalBytesEstimate: number | undefined;
  /** All is sent because the difference would be larger. */
  readonly isAllSmaller: boolean;
}

export interface FetchOptions {
  readonly peer: Peer;
  readonly identity: TlsIdentity;
  readonly request: StreamRequest;
  /** The longest silence of the peer; 30,000 if absent. */
  readonly idleMs?: number;
  readonly hooks?: TransferHooks | undefined;
}

const DEFAULT_IDLE_MS = 30_000;
const MAX_REFUSAL_BYTES = 4_096;
const MAX_HEADER_BYTES = 4_096;

/**
 * Asks a peer for a stream; resolves when its turn has come and the stream begins. The signal also breaks off the stream.
 * Throws {@link TransferError}, or the signal's reason.
 */
export async function fetchStream(options: FetchOptions, signal: AbortSignal): Promise<FetchedStream> {
  signal.throwIfAborted();
  const { peer, idleMs = DEFAULT_IDLE_MS, hooks } = options;
  try {
    const { response, connection } = await answerOf(options, idleMs, signal);
    if (connection === undefined) throw await refusalOf(response, peer);
    const stream = new FrameReader({
      source: connection,
      from: `node ${peer.nodeName}`,
      idleMs,
      onBytes: (bytes) => hooks?.onBytes?.('received', bytes),
    });
    stream.on('error', () => undefined); // whoever reads it learns of it; nobody may have begun
    const abort = () => stream.destroy(reasonOf(signal));
    signal.addEventListener('abort', abort, { once: true });
    stream.once('close', () => {
      signal.removeEventListener('abort', abort);
      hooks?.onEnd?.('received', stream.readableEnded ? 'done' : 'failed');
    });
    return {
      stream,
      incrementalFrom: textOf(response, INCREMENTAL_FROM),
      totalBytesEstimate: numberOf(textOf(response, BYTES_ESTIMATE)),
      isAllSmaller: textOf(response, ALL_SMALLER) === 'true',
    };
  } catch (error) {
    const isRefusal = error instanceof TransferError && (error.code === 'refused' || error.code === 'busy');
    hooks?.onEnd?.('received', isRefusal ? 'refused' : 'failed');
    throw error;
  }
}

interface Answer {
  readonly response: IncomingMessage;
  /** What frames are read from; undefined if the peer refuses. */
  readonly connection: Duplex | undefined;
}

function answerOf(options: FetchOptions, idleMs: number, signal: AbortSignal): Promise<Answer> {
  const { peer } = options;
  return new Promise((resolve, reject) => {
    const outgoing = open(options);
    let isSecure = false;
    outgoing.once('socket', (socket) =>
      socket.once('secureConnect', () => {
        isSecure = true;
      }),
    );
    const abort = () => outgoing.destroy(reasonOf(signal));
    const silence = setTimeout(
      () => outgoing.destroy(new TransferError('idle', `node ${peer.nodeName} said nothing for ${idleMs / 1000} s`)),
      idleMs,
    );
    const settle = (settled: () => void) => {
      clearTimeout(silence);
      signal.removeEventListener('abort', abort);
      settled();
    };
    outgoing.on('error', (error) =>
      settle(() => reject(signal.aborted ? signal.reason : errorOf(error, peer, isSecure))),
    );
    outgoing.on('information', () => silence.refresh()); // it waits in line there
    outgoing.once('response', (response) => settle(() => resolve({ response, connection: undefined })));
    outgoing.once('upgrade', (response, connection, head) => {
      if (head.length > 0) connection.unshift(head);
      settle(() => resolve({ response, connection }));
    });
    signal.addEventListener('abort', abort, { once: true });
    const { uid, ancestors } = options.request;
    outgoing.end(JSON.stringify({ uid, ancestors: ancestors.slice(0, MAX_ANCESTORS) }));
  });
}

function open({ peer, identity, request }: FetchOptions): ClientRequest {
  const { host, port } = parseAddress(peer.endpoint);
  return httpsRequest({
    ...tlsOptions(identity),
    host,
    port,
    method: 'POST',
    path: streamPath(request),
    headers: { 'content-type': 'application/json', connection: 'upgrade', upgrade: PROTOCOL },
    agent: false, // one connection for one stream, and none for the next
    servername: '', // names of nodes are no host names
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const found = nodeNameOfAltNames(certificate.subjectaltname);
      if (found === peer.nodeName) return undefined;
      const who = found === undefined ? 'no node' : `node ${found}`;
      return new TransferError('untrusted', `at ${peer.endpoint} is ${who}, not node ${peer.nodeName}`);
    },
    maxHeaderSize: MAX_HEADER_BYTES,
  });
}

/** What OpenSSL and Node call it when one end does not accept the other's certificate. */
const UNTRUSTED = /^(ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|INVALID_PURPOSE)/;

function errorOf(
  error: Error & { readonly code?: string },
  { nodeName, endpoint }: Peer,
  isSecure: boolean,
): TransferError {
  if (error instanceof TransferError) return error;
  const { code = 'no connection' } = error;
  const cause = { cause: error };
  if (UNTRUSTED.test(code)) {
    const text = `node ${nodeName} at ${endpoint} is not trusted, or does not trust us: ${code}`;
    return new TransferError('untrusted', text, cause);
  }
  if (!isSecure)
    return new TransferError('unreachable', `node ${nodeName} can't be reached at ${endpoint}: ${code}`, cause);
  // With TLS 1.3 a client learns no earlier that it is not accepted.
  const text = `node ${nodeName} ended the connection without an answer; perhaps it does not accept our certificate`;
  return new TransferError('broken', text, cause);
}

async function refusalOf(response: IncomingMessage, { nodeName }: Peer): Promise<TransferError> {
  const { reason, message } = await refusalBodyOf(response);
  const isBusy = reason === 'Busy';
  const seconds = numberOf(textOf(response, 'retry-after'));
  const known =
    reason !== undefined && Object.hasOwn(STATUS_OF_REFUSAL, reason) ? (reason as RefusalReason) : undefined;
  const text = `node ${nodeName} ${isBusy ? 'is busy' : 'refused'}: ${message ?? `HTTP ${response.statusCode}`}`;
  if (known === undefined) return new TransferError('broken', text);
  return new TransferError(isBusy ? 'busy' : 'refused', text, {
    reason: known,
    retryAfterMs: seconds === undefined ? undefined : seconds * 1000,
  });
}

async function refusalBodyOf(response: IncomingMessage): Promise<{ reason?: string; message?: string }> {
  let text = '';
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > MAX_REFUSAL_BYTES) break;
    }
    const { reason, message } = JSON.parse(text) as { reason?: unknown; message?: unknown };
    return {
      ...(typeof reason === 'string' ? { reason } : {}),
      ...(typeof message === 'string' ? { message: message.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').slice(0, 512) } : {}),
    };
  } catch {
    return {};
  }
}

function textOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function reasonOf({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
