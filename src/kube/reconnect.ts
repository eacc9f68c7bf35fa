import type { Clock } from './clock.ts';
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

/** What tells when the server is back. */
interface Reconnectable {
  onReconnect(listener: () => void): () => void;
}

/** Ends early when the signal aborts or the transport reconnects: whatever the server had asked for, it is back. */
export async function pauseUntilReconnect(
  transport: Reconnectable,
  clock: Clock,
  delayMs: number,
  signal?: AbortSignal,
): Promise<void> {
  const enough = new AbortController();
  const end = () => enough.abort();
  const forget = transport.onReconnect(end);
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted !== true) await clock.sleep(delayMs, enough.signal);
  signal?.removeEventListener('abort', end);
  forget();
}

/** How one watch fares, made anew again and again. */
export class Reconnecting {
  readonly #timings: ReconnectTimings;
  #failures = 0;
  #expiries = 0;

  constructor(timings: ReconnectTimings) {
    this.#timings = timings;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** The watch works, or the server is back: what fails next is a first failure. */
  startAnew(): void {
    this.#failures = 0;
    this.#expiries = 0;
  }

  /** The pause after the server closed it. */
  closed(): number {
    return pauseAfterClose(this.#failures++, this.#timings);
  }

  /** A version that is too old is a first failure whatever failed before: the server was away, and is back. */
  failed(error: unknown): Reconnect {
    this.#failures++;
    const isFirst = isGone(error) && this.#expiries++ === 0;
    return decideReconnect(error, isFirst ? 1 : this.#failures, this.#timings);
  }
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
