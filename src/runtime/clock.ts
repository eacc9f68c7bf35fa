/** Time as this program sees it; tests put a clock of their own in its place. */
export interface Clock {
  /** Wall-clock time, for what people read. */
  now(): Date;
  /** Milliseconds that only grow, for durations and deadlines. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds, or at once when the signal aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

// Node fires a timer above 2^31-1 ms at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(Math.max(ms, 0), MAX_TIMER_MS));
      signal?.addEventListener('abort', wake, { once: true });
    });
  },
};
