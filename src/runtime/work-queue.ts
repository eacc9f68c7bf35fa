import type { Clock } from './clock.ts';
import { TimerHeap } from './timer-heap.ts';

export type Priority = 'high' | 'low';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** What work on the key may hang in; the queue goes round these. The same for all keys if absent. */
  readonly groupOf?: (key: string) => string;
  /** Called when a key became ready to be taken. */
  readonly onReady: () => void;
}

/** Keys that are ready, with the time since when, by group: the group that was served longest ago comes first. */
type Line = Map<string, Map<string, number>>;

/**
 * Keys to work on. A key is queued at most once and never handed out twice at a time: what is added while it is being
 * worked on is queued once when that ends. High priority goes first, then the groups in turn, then first in, first out.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #timers: TimerHeap;
  readonly #groupOf: (key: string) => string;
  readonly #lines: Readonly<Record<Priority, Line>> = { high: new Map(), low: new Map() };
  /** Keys that are ready, with where they stand: a key's group may be another one when it is looked at again. */
  readonly #ready = new Map<string, { readonly priority: Priority; readonly group: string }>();
  readonly #processing = new Set<string>();
  /** Keys added while being worked on, with the time of that and the priority asked for. */
  readonly #dirty = new Map<string, { readonly addedMs: number; readonly priority: Priority }>();
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock;
    this.#onReady = options.onReady;
    this.#groupOf = options.groupOf ?? (() => '');
    this.#timers = new TimerHeap(options.clock, (key) => this.add(key));
  }

  /** Keys that wait to be taken; timers not counted. */
  get depth(): number {
    return this.#ready.size + this.#dirty.size;
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

  /** Hands out the next key of a group that is open, `undefined` if none is ready. The caller must call {@link done} for it. */
  take(
    isOpen: (group: string) => boolean = () => true,
  ): { readonly key: string; readonly group: string; readonly queuedMs: number } | undefined {
    const { high, low } = this.#lines;
    for (const line of [high, low]) {
      for (const [group, keys] of line) {
        if (!isOpen(group)) continue;
        const [key = '', addedMs = 0] = keys.entries().next().value ?? [];
        this.#leave(key);
        this.#processing.add(key);
        this.#timers.clear(key);
        // To the end of the line.
        if (line.delete(group) && keys.size > 0) line.set(group, keys);
        return { key, group, queuedMs: this.#clock.monotonicMs() - addedMs };
      }
    }
    return undefined;
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
    this.#ready.clear();
    this.#lines.high.clear();
    this.#lines.low.clear();
  }

  #makeReady(key: string, addedMs: number, priority: Priority): void {
    const before = this.#ready.get(key)?.priority;
    if (before === 'high' || before === priority) return;
    const since = this.#leave(key) ?? addedMs;
    const group = this.#groupOf(key);
    const line = this.#lines[priority];
    const keys = line.get(group) ?? new Map<string, number>();
    line.set(group, keys.set(key, since));
    this.#ready.set(key, { priority, group });
    this.#onReady();
  }

  /** The key is not ready any more; returns since when it was. */
  #leave(key: string): number | undefined {
    const place = this.#ready.get(key);
    if (place === undefined) return undefined;
    this.#ready.delete(key);
    const line = this.#lines[place.priority];
    const keys = line.get(place.group);
    const since = keys?.get(key);
    keys?.delete(key);
    if (keys?.size === 0) line.delete(place.group);
    return since;
  }
}
