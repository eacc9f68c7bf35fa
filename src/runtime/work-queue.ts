import type { Clock } from './clock.ts';
import { TimerHeap } from './timer-heap.ts';

export type Priority = 'high' | 'low';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Called when a key became ready to be taken. */
  readonly onReady: () => void;
}

/**
 * Keys to work on. A key is queued at most once and never handed out twice at a time: what is added while it is being
 * worked on is queued once when that ends. High priority goes first, then first in, first out.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #timers: TimerHeap;
  readonly #ready: Readonly<Record<Priority, Map<string, number>>> = { high: new Map(), low: new Map() };
  readonly #processing = new Set<string>();
  /** Keys added while being worked on, with the time of that and the priority asked for. */
  readonly #dirty = new Map<string, { readonly addedMs: number; readonly priority: Priority }>();
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#onReady = options.onReady;
    this.#timers = new TimerHeap(options.clock, (key) => this.add(key));
  }

  /** Keys that wait to be taken; timers not counted. */
  get depth(): number {
    return this.#ready.high.size + this.#ready.low.size + this.#dirty.size;
  }

  add(key: string, priority: Priority = 'high'): void {
    if (this.#closed) return;
    const addedMs = this.#clock.monotonicMs();
    if (this.#processing.has(key)) {
      const earlier = this.#dirty.get(key);
      if (earlier === undefined || priority === 'high') {
        this.#dirty.set(key, { addedMs: earlier?.addedMs ?? addedMs, priority });
      }
      return;
    }
    this.#makeReady(key, addedMs, priority);
  }

  /** The key is added in `afterMs` milliseconds unless it is taken before: a pass takes the place of the timers set before it. */
  addAfter(key: string, afterMs: number): void {
    if (this.#closed) return;
    if (afterMs <= 0) this.add(key);
    else this.#timers.set(key, afterMs);
  }

  /** Hands out the next key, `undefined` if none is ready. The caller must call {@link done} for it. */
  take(): { readonly key: string; readonly queuedMs: number } | undefined {
    const queue = this.#ready.high.size > 0 ? this.#ready.high : this.#ready.low;
    const next = queue.entries().next().value;
    if (next === undefined) return undefined;
    const [key, addedMs] = next;
    queue.delete(key);
    this.#processing.add(key);
    this.#timers.clear(key);
    return { key, queuedMs: this.#clock.monotonicMs() - addedMs };
  }

  /** The work on the key has ended; if it was added meanwhile it is ready again. */
  done(key: string): void {
    this.#processing.delete(key);
    const again = this.#dirty.get(key);
    if (again === undefined) return;
    this.#dirty.delete(key);
    this.#makeReady(key, again.addedMs, again.priority);
  }

  /** Nothing is ready any more and nothing can be added. */
  close(): void {
    this.#closed = true;
    this.#timers.clearAll();
    this.#dirty.clear();
    this.#ready.high.clear();
    this.#ready.low.clear();
  }

  #makeReady(key: string, addedMs: number, priority: Priority): void {
    const { high, low } = this.#ready;
    if (high.has(key)) return;
    if (priority === 'low') {
      if (!low.has(key)) low.set(key, addedMs);
    } else {
      high.set(key, low.get(key) ?? addedMs);
      low.delete(key);
    }
    this.#onReady();
  }
}
