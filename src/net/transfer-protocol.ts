// What both ends of a transfer agree on: POST /v1/streams/<namespace>/<name> over mutual TLS, upgraded to frames.

/** A read-only subvolume that the receiver has: a possible parent of an incremental stream. */
export interface Ancestor {
  readonly uuid: string;
  readonly receivedUuid?: string | undefined;
}

/** "I am the agent that makes this Snapshot, and these are the subvolumes that I have." */
export interface StreamRequest {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The most promising first: only the first {@link MAX_ANCESTORS} are told. */
  readonly ancestors: readonly Ancestor[];
}

/** Bound of the list of ancestors; with it a body is far below {@link MAX_BODY_BYTES}. */
export const MAX_ANCESTORS = 1000;
export const MAX_BODY_BYTES = 256 * 1024;

export const STATUS_OF_REFUSAL = { BadRequest: 400, Forbidden: 403, NotFound: 404, Conflict: 409, Busy: 503 } as const;

export type RefusalReason = keyof typeof STATUS_OF_REFUSAL;

/** The sender will not send; its message is told to the peer as it is. */
export class TransferRefusal extends Error {
  readonly reason: RefusalReason;
  readonly retryAfterMs: number | undefined;

  constructor(reason: RefusalReason, message: string, options: { readonly retryAfterMs?: number } = {}) {
    super(message);
    this.name = 'TransferRefusal';
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * `not-ready`: we have no certificate yet. `unreachable`: no connection. `untrusted`: one end does not accept the other's
 * certificate. `refused` and `busy`: the sender said so. `broken`: the stream ended early. `idle`: nothing came for too long.
 */
export type TransferErrorCode = 'not-ready' | 'unreachable' | 'untrusted' | 'refused' | 'busy' | 'broken' | 'idle';

export interface TransferErrorOptions extends ErrorOptions {
  readonly reason?: RefusalReason | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** A stream could not be fetched, or not to its end. */
export class TransferError extends Error {
  readonly code: TransferErrorCode;
  readonly reason: RefusalReason | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: TransferErrorCode, message: string, options: TransferErrorOptions = {}) {
    super(message, options);
    this.name = 'TransferError';
    this.code = code;
    this.reason = options.reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Name of what follows on the connection after the answer 101: Node moves bytes faster without HTTP around them. */
export const PROTOCOL = 'btrfs-stream';

/** Response headers. */
export const INCREMENTAL_FROM = 'btrfs-incremental-from';
export const BYTES_ESTIMATE = 'btrfs-bytes-estimate';
/** `true` where all is sent because the difference would be larger. */
export const ALL_SMALLER = 'btrfs-all-smaller';

/** Counted by metrics; all optional. */
export interface TransferHooks {
  readonly onBytes?: (direction: TransferDirection, bytes: number) => void;
  readonly onEnd?: (direction: TransferDirection, outcome: TransferOutcome) => void;
  /** How many streams are sent at the moment, and how many requests wait for it. */
  readonly onLine?: (state: { readonly running: number; readonly waiting: number }) => void;
}

export type TransferDirection = 'sent' | 'received';
export type TransferOutcome = 'done' | 'failed' | 'refused';

const SEGMENT = '[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?';
const STREAM_PATH = new RegExp(`^/v1/streams/(${SEGMENT})/(${SEGMENT})$`);

export function streamPath({ namespace, name }: Pick<StreamRequest, 'namespace' | 'name'>): string {
  return `/v1/streams/${namespace}/${name}`;
}

/** Undefined for any other path. */
export function parseStreamPath(path: string): Pick<StreamRequest, 'namespace' | 'name'> | undefined {
  const [, namespace, name] = STREAM_PATH.exec(path) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}
