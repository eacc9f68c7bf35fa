import { ApiError, isGone } from './errors.ts';

export interface ReconnectTimings {
  /** First and largest pause after failures in a row, before jitter. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Largest pause after a watch that the server closed early without saying why. */
  readonly maxEarlyCloseMs: number;
}

/** How to go on after a watch (or a list) has ended. */
export interface Reconnect {
  readonly delayMs: number;
  /** The state of the cache can't be continued from: list anew. */
  readonly relist: boolean;
}

/**
 * What to do after failure number `failures` (from 1) in a row. A version that is too old means a new list, at once
 * the first time; else a jittered exponential pause, longer if the server asks for it.
 */
export function decideReconnect(error: unknown, failures: number, timings: ReconnectTimings): Reconnect {
  if (isGone(error) && failures === 1) return { delayMs: 0, relist: true };
  const asked = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
  // Up to a tenth more, so that those who were sent away together don't come back together.
  const askedMs = asked * (1 + Math.random() / 10);
  return { delayMs: Math.max(backoffMs(failures, timings), askedMs), relist: mustRelist(error) };
}

/**
 * The pause after the server closed a watch: none to speak of, unless it does so again and again without an event
 * between.
 */
export function pauseAfterClose(earlyCloses: number, timings: ReconnectTimings): number {
  if (earlyCloses === 0) return Math.random() * timings.minBackoffMs;
  return Math.min(backoffMs(earlyCloses, timings), timings.maxEarlyCloseMs);
}

/** Between `minBackoffMs` and `maxBackoffMs`: doubles with each failure; half of it is random. */
function backoffMs(failures: number, timings: ReconnectTimings): number {
  const ceiling = Math.min(timings.minBackoffMs * 2 ** Math.min(failures, 30), timings.maxBackoffMs);
  return Math.max(timings.minBackoffMs, ceiling * (0.5 + Math.random() / 2));
}

/**
 * True if the resource version itself may be what failed: too old (410), refused (4xx), newer than what the server has
 * (504, after etcd was restored), or unreadable events after it. Overload, lost connections and lacking permission
 * aren't.
 */
function mustRelist(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  if (isGone(error) || error.code === 504 || error.reason === 'InvalidResponse') return true;
  return error.code === 400 || error.code === 404 || error.code === 422;
}

/** True if a server without streaming lists (or a proxy before it) refused the parameters of one. */
export function refusesStreamingList(error: unknown): boolean {
  return error instanceof ApiError && [400, 405, 406, 415, 422].includes(error.code);
}
