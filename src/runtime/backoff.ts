export interface BackoffOptions {
  /** Delay after the first failure in milliseconds; 200 if absent. */
  readonly baseMs?: number;
  /** Longest delay in milliseconds; 5 minutes if absent. */
  readonly maxMs?: number;
  /** 0 ≤ x < 1; Math.random if absent. */
  readonly random?: () => number;
}

/** Delays that double with each failure in a row of a key. */
export interface Backoff {
  /** Counts one more failure of the key and returns how long to wait, in milliseconds. */
  next(key: string): number;
  /** The key's next failure counts as its first. */
  reset(key: string): void;
}

// Keys that failed together come back spread over a fifth of their delay, and a delay still grows each time (0.8 × 2 > 1).
const JITTER = 0.2;

export function createBackoff(options: BackoffOptions = {}): Backoff {
  const { baseMs = 200, maxMs = 300_000, random = Math.random } = options;
  const failures = new Map<string, number>();
  return {
    next(key) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      return Math.min(maxMs, baseMs * 2 ** count) * (1 - JITTER * random());
    },
    reset(key) {
      failures.delete(key);
    },
  };
}
