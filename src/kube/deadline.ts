/**
 * A signal that aborts when a time is over or an outer signal aborts, whichever is first. Dispose of it to leave no
 * timer and no listener.
 */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  /** True if the time was over (and the outer signal was not first). */
  readonly expired: boolean;
  /** Starts the time anew. */
  extend(): void;
}

/**
 * Starts the time now. By hand instead of `AbortSignal.any`, which lets a long-lived outer signal collect one entry
 * per request.
 */
export function startDeadline(timeoutMs: number, outer?: AbortSignal): Deadline {
  const controller = new AbortController();
  let expired = false;
  const timer = setTimeout(() => {
    expired = !controller.signal.aborted;
    controller.abort();
  }, timeoutMs);
  const forward = () => controller.abort(outer?.reason);
  if (outer?.aborted === true) forward();
  else outer?.addEventListener('abort', forward, { once: true });
  return {
    signal: controller.signal,
    get expired() {
      return expired;
    },
    extend: () => {
      timer.refresh();
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      outer?.removeEventListener('abort', forward);
    },
  };
}

/** What the promise settles with, or the signal's reason as soon as it aborts; what the promise stands for goes on. */
export async function settledOrAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
