import type { Clock } from './clock.ts';

/** As client-go: 25 events of one object at once, then one each 300 s. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Enough for every object of a node; the least recently used are forgotten first. */
const MAX_REMEMBERED = 4096;

/** A map that forgets what was used longest ago. */
export class RecentMap<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit = MAX_REMEMBERED) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const oldest = this.#entries.keys().next();
    if (oldest.done !== true) this.#entries.delete(oldest.value);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}

/** A token bucket for each key. */
export interface Limiter {
  /** True, and one token less, if the key has one left. */
  take(key: string): boolean;
}

export function createLimiter(clock: Clock): Limiter {
  const buckets = new RecentMap<{ tokens: number; atMs: number }>();
  return {
    take(key) {
      const nowMs = clock.monotonicMs();
      const bucket = buckets.get(key) ?? { tokens: BURST, atMs: nowMs };
      const tokens = Math.min(BURST, bucket.tokens + (nowMs - bucket.atMs) / REFILL_MS);
      buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
      return tokens >= 1;
    },
  };
}
