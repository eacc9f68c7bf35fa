/** Longest text of the server taken into a message, in characters. */
const MAX_MESSAGE_LENGTH = 512;
/** A server that asks for more is asked again after this long: a reflector must not stay blind for an hour. */
const MAX_RETRY_AFTER_MS = 120_000;

export interface ApiErrorOptions extends ErrorOptions {
  readonly retryAfterMs?: number | undefined;
}

/**
 * A request that the API server refused, or that got no usable answer (code 0, reason `Timeout`, `Silence`, `Unreachable`,
 * `InvalidResponse` or `CredentialsUnavailable`). The message holds no header and of the body only the Status message.
 */
export class ApiError extends Error {
  /** HTTP status or the code of an in-stream Status; 0 if there was no usable answer. */
  readonly code: number;
  /** metav1.StatusReason, e.g. `NotFound`, `AlreadyExists`, `Conflict`, `Expired`. */
  readonly reason: string;
  /** How long the server asks to wait; 120,000 at most. */
  readonly retryAfterMs: number | undefined;

  constructor(code: number, reason: string, message: string, options: ApiErrorOptions = {}) {
    super(message, options);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

interface StatusLike {
  readonly code?: unknown;
  readonly reason?: unknown;
  readonly message?: unknown;
  readonly details?: { readonly retryAfterSeconds?: unknown } | null;
}

/**
 * The error of a metav1.Status (an answer's body or an in-stream ERROR event); anything else is named by its code
 * alone.
 */
export function apiErrorOf(what: string, code: number, status: unknown, retryAfterMs?: number): ApiError {
  const { reason, message, details } = (typeof status === 'object' && status !== null ? status : {}) as StatusLike;
  const name = typeof reason === 'string' && reason !== '' ? reason : (REASON_OF_CODE[code] ?? 'Unknown');
  const detail = typeof message === 'string' && message !== '' ? cleanText(message) : `HTTP ${code} ${name}`;
  const asked = details?.retryAfterSeconds;
  const hint = retryAfterMs ?? (typeof asked === 'number' && asked > 0 ? asked * 1000 : undefined);
  return new ApiError(code, name, `${what}: ${detail}`, {
    retryAfterMs: hint === undefined ? undefined : Math.min(hint, MAX_RETRY_AFTER_MS),
  });
}

const REASON_OF_CODE: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function cleanText(text: string): string {
  const oneLine = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim();
  return oneLine.length <= MAX_MESSAGE_LENGTH ? oneLine : `${oneLine.slice(0, MAX_MESSAGE_LENGTH)}…`;
}

/**
 * Milliseconds a `Retry-After` header (RFC 9110, seconds or an HTTP date) asks for; undefined if there is none or it
 * is nonsense.
 */
export function parseRetryAfter(header: string | undefined, now: Date): number | undefined {
  if (header === undefined || header.trim() === '') return undefined;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - now.getTime() : seconds * 1000;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}

/** The object (or the kind) is not there. */
export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.code === 404;
}

/**
 * The object changed meanwhile, or a field belongs to another manager: read again. A name that is taken is not this.
 */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.code === 409 && error.reason !== 'AlreadyExists';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.code === 409 && error.reason === 'AlreadyExists';
}

/** The resource version or the continue token is too old: list anew. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

/** The server understood and found the object wrong (schema, CEL rule, admission): the same request fails again. */
export function isInvalid(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 422 || error.code === 400);
}
