import type { Clock } from './clock.ts';

interface Entry {
  readonly key: string;
  readonly dueMs: number;
}

/** One timer per key, all of them on a single sleep of the clock. */
export class TimerHeap {
  readonly #clock: Clock;
  readonly #onDue: (key: string) => void;
  readonly #heap: Entry[] = [];
  readonly #due = new Map<string, number>();
  #sleep: { readonly untilMs: number; readonly controller: AbortController } | undefined;

  constructor(clock: Clock, onDue: (key: string) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** The key is due in `afterMs` milliseconds, or earlier if it already was. */
  set(key: string, afterMs: number): void {
    const dueMs = this.#clock.monotonicMs() + afterMs;
    if ((this.#due.get(key) ?? Number.POSITIVE_INFINITY) <= dueMs) return;
    this.#due.set(key, dueMs);
    push(this.#heap, { key, dueMs });
    this.#arm();
  }

  clear(key: string): void {
    this.#due.delete(key);
    if (this.#due.size === 0) this.clearAll();
  }

  clearAll(): void {
    this.#due.clear();
    this.#heap.length = 0;
    this.#sleep?.controller.abort();
    this.#sleep = undefined;
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) return;
    if (this.#sleep !== undefined && this.#sleep.untilMs <= first.dueMs) return;
    this.#sleep?.controller.abort();
    const sleep = { untilMs: first.dueMs, controller: new AbortController() };
    this.#sleep = sleep;
    const pause = this.#clock.sleep(first.dueMs - this.#clock.monotonicMs(), sleep.controller.signal);
    void pause.then(() => this.#wake(sleep));
  }

  #wake(sleep: object): void {
    if (this.#sleep !== sleep) return;
    this.#sleep = undefined;
    const nowMs = this.#clock.monotonicMs();
    for (let first = this.#heap[0]; first !== undefined && first.dueMs <= nowMs; first = this.#heap[0]) {
      pop(this.#heap);
      if (this.#due.get(first.key) !== first.dueMs) continue; // cleared or moved to an earlier time
      this.#due.delete(first.key);
      this.#onDue(first.key);
    }
    this.#arm();
  }
}

function push(heap: Entry[], entry: Entry): void {
  let index = heap.push(entry) - 1;
  while (index > 0) {
    const parentIndex = (index - 1) >> 1;
    const parent = heap[parentIndex];
    if (parent === undefined || parent.dueMs <= entry.dueMs) break;
    heap[index] = parent;
    index = parentIndex;
  }
  heap[index] = entry;
}

function pop(heap: Entry[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  for (;;) {
    const leftIndex = 2 * index + 1;
    const left = heap[leftIndex];
    if (left === undefined) break;
    const right = heap[leftIndex + 1];
    const child = right !== undefined && right.dueMs < left.dueMs ? right : left;
    if (child.dueMs >= last.dueMs) break;
    heap[index] = child;
    index = child === left ? leftIndex : leftIndex + 1;
  }
  heap[index] = last;
}
