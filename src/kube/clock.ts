import { setTimeout as delay } from 'node:timers/promises';

/** The time as this room sees it; the runtime's clock has the same shape, tests inject their own. */
export interface Clock {
  now(): Date;
  /** Milliseconds since an arbitrary instant; never goes back and knows no wall clock. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once, without throwing, when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    }
  },
};
