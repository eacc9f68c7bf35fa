import type { Logger } from 'pino';
import { type Backoff, createBackoff } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';
import type { FailureKind, Outcome } from './outcome.ts';
import { createPassLog } from './pass-log.ts';
import { createPlaces, type Occupant, type Place, type Places } from './places.ts';
import { type Priority, WorkQueue } from './work-queue.ts';

/** How a pass ended, for logs and metrics: its outcome, the kind of its failure, or that a newer pass took its place. */
export type PassResult = Outcome['kind'] | 'superseded' | 'stopped' | `failed-${FailureKind}`;

export interface PassReport {
  readonly outcome: PassResult;
  readonly durationMs: number;
  /** Milliseconds between becoming ready and being started. */
  readonly queuedMs: number;
}

export interface ReconcilerOptions {
  /** What the keys are, in lower case: the name in logs and metrics. */
  readonly name: string;
  /** Passes that may run at the same time. */
  readonly concurrency: number;
  /** What the pass over a key works in, and may hang in: the key itself if absent. */
  readonly withinOf?: (key: string) => string;
  /** How many of the passes may be within one of these; all if absent. */
  readonly concurrencyWithin?: number;
  /** A pass that runs for so long keeps no other from starting but within the same; never if absent. */
  readonly quietMs?: number;
  /** Makes the world follow one object. The signal aborts when the pass is superseded or the process stops. */
  readonly reconcile: (key: string, signal: AbortSignal, pass: RunningPass) => Promise<Outcome>;
  /** What a thrown error means. */
  readonly judge: (error: unknown) => FailureKind;
  readonly log: Logger;
  readonly clock?: Clock;
  readonly backoff?: Backoff;
  readonly onPass?: (pass: PassReport) => void;
  readonly onAdd?: () => void;
  readonly onRetry?: () => void;
  readonly onDepth?: (depth: number) => void;
}

/** A pass, for the long work in it. */
export interface RunningPass {
  /**
   * The pass has one of these places until it ends; while it waits for it, it has none. From now on an interruption ends it
   * only when the work is no longer wanted. What was seen before is to be looked at again. Throws the signal's reason.
   */
  moveTo(places: Places, occupant: Occupant, isWanted: () => boolean): Promise<Place>;
}

export interface EnqueueOptions {
  /** Not before that many milliseconds; a pass that starts earlier takes the place of it. */
  readonly afterMs?: number;
  /** `low` for the items of an initial list; `high` if absent. */
  readonly priority?: Priority;
}

export interface Reconciler {
  enqueue(key: string, options?: EnqueueOptions): void;
  /** Queues the key, whatever it waited for. Its pass is aborted (reason `superseded`) unless at long work still wanted. */
  interrupt(key: string): void;
  /** Keys that wait for their pass. */
  readonly depth: number;
  /** No pass starts any more. Waits `graceMs` for the running ones, then aborts them (reason `stopping`) and waits 2 s more. */
  stop(graceMs: number): Promise<void>;
}

// A conflict on every one of so many tries in a row is no lost race any more.
const MAX_BENIGN_IN_A_ROW = 5;
const ABORTED_GRACE_MS = 2_000;

/** A loop that gives each key one pass at a time, isolates failures by key and never throws. */
export function startReconciler(options: ReconcilerOptions): Reconciler {
  return new KeyedReconciler(options);
}

interface Running {
  readonly controller: AbortController;
  readonly ended: Promise<void>;
  readonly pass: PlacedPass;
}

class KeyedReconciler implements Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #queue: WorkQueue;
  readonly #passLog: ReturnType<typeof createPassLog>;
  readonly #places: Places;
  readonly #running = new Map<string, Running>();
  readonly #benignInARow = new Map<string, number>();
  #stopped = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = options.backoff ?? createBackoff();
    this.#passLog = createPassLog(options.name, options.log);
    const { concurrency: limit, concurrencyWithin, quietMs, withinOf = (key) => key } = options;
    this.#places = createPlaces({
      limit,
      limitWithin: concurrencyWithin ?? limit,
      ...(quietMs === undefined ? {} : { quietMs }),
      clock: this.#clock,
      onRoom: () => this.#startPasses(),
    });
    this.#queue = new WorkQueue({ clock: this.#clock, groupOf: withinOf, onReady: () => this.#startPasses() });
  }

  get depth(): number {
    return this.#queue.depth;
  }

  enqueue(key: string, { afterMs = 0, priority = 'high' }: EnqueueOptions = {}): void {
    if (this.#stopped) return;
    this.#options.onAdd?.();
    if (afterMs > 0) this.#queue.addAfter(key, afterMs);
    else this.#queue.add(key, priority);
    this.#options.onDepth?.(this.depth);
  }

  interrupt(key: string): void {
    const running = this.#running.get(key);
    if (running?.pass.isWanted() === false) running.controller.abort('superseded');
    // What failed may have failed for what has changed.
    this.#backoff.reset(key);
    this.enqueue(key);
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    this.#queue.close();
    await this.#passesEnd(graceMs);
    for (const { controller } of this.#running.values()) controller.abort('stopping');
    await this.#passesEnd(ABORTED_GRACE_MS);
  }

  async #passesEnd(withinMs: number): Promise<void> {
    if (this.#running.size === 0) return;
    const enough = new AbortController();
    const ended = Promise.all([...this.#running.values()].map((pass) => pass.ended));
    await Promise.race([ended, this.#clock.sleep(withinMs, enough.signal)]);
    enough.abort();
  }

  #startPasses(): void {
    while (!this.#stopped && !this.#places.isFull) {
      const item = this.#queue.take((within) => this.#places.hasRoom({ namespace: '', within }));
      const place = item && this.#places.take({ namespace: '', within: item.group });
      if (item === undefined || place === undefined) break;
      const controller = new AbortController();
      const pass = new PlacedPass(place, controller.signal);
      // The pass must not begin before it is listed as running: it may interrupt itself through an event.
      const ended = Promise.resolve()
        .then(() => this.#pass(item.key, item.queuedMs, controller.signal, pass))
        .catch((err: unknown) => this.#options.log.error({ err }, 'hook of a pass failed'));
      this.#running.set(item.key, { controller, ended, pass });
    }
    this.#options.onDepth?.(this.depth);
  }

  async #pass(key: string, queuedMs: number, signal: AbortSignal, pass: PlacedPass): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    let outcome: PassResult;
    try {
      const result = await this.#options.reconcile(key, signal, pass);
      outcome = result.kind;
      this.#succeeded(key, result, this.#clock.monotonicMs() - startedMs);
    } catch (error) {
      outcome = this.#failed(key, error, signal, this.#clock.monotonicMs() - startedMs);
    }
    this.#running.delete(key);
    this.#queue.done(key);
    pass.end();
    this.#options.onPass?.({ outcome, durationMs: this.#clock.monotonicMs() - startedMs, queuedMs });
  }

  #succeeded(key: string, outcome: Outcome, durationMs: number): void {
    this.#backoff.reset(key);
    this.#benignInARow.delete(key);
    if (outcome.kind !== 'settled') this.#queue.addAfter(key, outcome.afterMs);
    this.#passLog.ended(key, outcome, durationMs);
  }

  #failed(key: string, error: unknown, signal: AbortSignal, durationMs: number): PassResult {
    if (signal.aborted) {
      this.#passLog.aborted(key, String(signal.reason), durationMs);
      return signal.reason === 'superseded' ? 'superseded' : 'stopped';
    }
    const kind = this.#judge(error);
    const retryAfterMs = this.#retryAfterMs(key, kind);
    if (retryAfterMs !== undefined) {
      this.#options.onRetry?.();
      this.#queue.addAfter(key, retryAfterMs);
    }
    this.#passLog.failed(key, { kind, error, durationMs, retryAfterMs });
    return `failed-${kind}`;
  }

  #judge(error: unknown): FailureKind {
    try {
      return this.#options.judge(error);
    } catch {
      return 'bug';
    }
  }

  #retryAfterMs(key: string, kind: FailureKind): number | undefined {
    if (kind === 'terminal') return undefined;
    if (kind === 'benign') {
      const inARow = (this.#benignInARow.get(key) ?? 0) + 1;
      this.#benignInARow.set(key, inARow);
      if (inARow <= MAX_BENIGN_IN_A_ROW) return 0;
    }
    return this.#backoff.next(key);
  }
}

/** The place that a pass has: first among the short ones, then perhaps among the long ones. */
class PlacedPass implements RunningPass {
  #place: Place;
  #places: Places | undefined;
  readonly #signal: AbortSignal;
  isWanted: () => boolean = () => false;

  constructor(place: Place, signal: AbortSignal) {
    this.#place = place;
    this.#signal = signal;
  }

  async moveTo(places: Places, occupant: Occupant, isWanted: () => boolean): Promise<Place> {
    this.isWanted = isWanted;
    if (this.#places === places) return this.#place;
    this.#place[Symbol.dispose]();
    this.#place = await places.acquire(occupant, this.#signal);
    this.#places = places;
    return this.#place;
  }

  end(): void {
    this.#place[Symbol.dispose]();
  }
}
