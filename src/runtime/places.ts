import { type Clock, systemClock } from './clock.ts';
import { TimerHeap } from './timer-heap.ts';

/** Whose work it is, and what it works in: that is what may hang, and then only its own places are lost. */
export interface Occupant {
  readonly namespace: string;
  /** A volume, or the peer at the other end of a connection. */
  readonly within: string;
}

export interface PlacesOptions {
  /** How many may be held at once. */
  readonly limit: number;
  /** How many of them within one volume; `limit` if absent. */
  readonly limitWithin?: number;
  /** How many of them by one namespace; `limit` if absent. */
  readonly limitByNamespace?: number;
  /** How many may wait; one more is turned away. Any number if absent. */
  readonly maxWaiting?: number;
  /** Work that has not moved for so long counts no more among all, only within its volume; never if absent. */
  readonly quietMs?: number;
  readonly clock?: Clock;
  readonly onChange?: (state: { readonly running: number; readonly waiting: number }) => void;
  /** A place may have become free for one that {@link Places.take} gave none. */
  readonly onRoom?: () => void;
}

/** The line is full. */
export class LineFullError extends Error {}

/** Held until it is disposed of. */
export interface Place extends Disposable {
  /** The work has got on. */
  readonly moved: () => void;
}

/**
 * Places for work that may be long or hang, counted within each volume. A free one goes to the namespace that holds the
 * fewest, among equals to the one that was served (or came) longest ago: none waits for another's whole line, and none for
 * ever. Work that hangs takes no place from other volumes for longer than `quietMs`; nor does what begins beside it later.
 */
export interface Places {
  /** A place, held until it is disposed of; waits for it. Throws {@link LineFullError}, or the signal's reason. */
  acquire(occupant: Occupant, signal: AbortSignal): Promise<Place>;
  /** A place if one is free, for those who have a line of their own. */
  take(occupant: Occupant): Place | undefined;
  hasRoom(occupant: Occupant): boolean;
  /** Nobody would be given a place now. */
  readonly isFull: boolean;
  /** Held, by what moves and by what does not. */
  readonly running: number;
  readonly waiting: number;
}

/** How many may be in a volume in which somebody hangs: one more shows when it is well again. */
const LIMIT_WITHIN_SLOW = 2;

export const createPlaces = (options: PlacesOptions): Places => new CountedPlaces(options);

interface Waiter {
  readonly occupant: Occupant;
  readonly enter: () => void;
}

interface Namespace {
  /** Places that count among all. */
  counted: number;
  /** Grows each time. */
  servedAt: number;
  readonly line: Waiter[];
}

interface Held extends Occupant {
  movedAtMs: number;
  isQuiet: boolean;
}

class CountedPlaces implements Places {
  readonly #options: PlacesOptions;
  readonly #clock: Clock;
  readonly #timers: TimerHeap;
  readonly #held = new Map<string, Held>();
  readonly #heldWithin = new Map<string, number>();
  readonly #namespaces = new Map<string, Namespace>();
  /** Volumes in which work hangs, as far as is known. */
  readonly #slow = new Set<string>();
  #counted = 0;
  #turn = 0;

  constructor(options: PlacesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#timers = new TimerHeap(this.#clock, (id) => this.#look(id));
  }

  get running(): number {
    return this.#held.size;
  }

  get waiting(): number {
    return [...this.#namespaces.values()].reduce((sum, { line }) => sum + line.length, 0);
  }

  get isFull(): boolean {
    return this.#counted >= this.#options.limit && this.#slow.size === 0;
  }

  hasRoom({ namespace, within }: Occupant): boolean {
    const { limit, limitWithin = limit, limitByNamespace = limit } = this.#options;
    const heldWithin = this.#heldWithin.get(within) ?? 0;
    if (this.#slow.has(within)) return heldWithin < Math.min(limitWithin, LIMIT_WITHIN_SLOW);
    const counted = this.#namespaces.get(namespace)?.counted ?? 0;
    return heldWithin < limitWithin && counted < limitByNamespace && this.#counted < limit;
  }

  take(occupant: Occupant): Place | undefined {
    return this.hasRoom(occupant) ? this.#hold(occupant) : undefined;
  }

  async acquire(occupant: Occupant, signal: AbortSignal): Promise<Place> {
    signal.throwIfAborted();
    const { maxWaiting = Number.POSITIVE_INFINITY } = this.#options;
    const taken = this.take(occupant);
    if (taken === undefined && this.waiting >= maxWaiting) throw new LineFullError(`${maxWaiting} wait already`);
    const place = taken ?? this.#standInLine(occupant, signal);
    this.#changed();
    return await place;
  }

  #standInLine(occupant: Occupant, signal: AbortSignal): Promise<Place> {
    const { line } = this.#namespace(occupant.namespace);
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal.removeEventListener('abort', giveUp);
        line.splice(line.indexOf(waiter), 1);
      };
      const waiter: Waiter = {
        occupant,
        enter: () => {
          leave();
          resolve(this.#hold(occupant));
        },
      };
      const giveUp = () => {
        leave();
        this.#forgetIfIdle(occupant.namespace);
        this.#changed();
        reject(signal.reason);
      };
      line.push(waiter);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Those in line enter as long as there is a place that one of them may have. */
  #admit(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) next.enter();
    this.#changed();
    this.#options.onRoom?.();
  }

  #next(): Waiter | undefined {
    const inTurn = [...this.#namespaces.values()].toSorted((a, b) => a.counted - b.counted || a.servedAt - b.servedAt);
    for (const { line } of inTurn) {
      const next = line.find(({ occupant }) => this.hasRoom(occupant));
      if (next !== undefined) return next;
    }
    return undefined;
  }

  #hold({ namespace, within }: Occupant): Place {
    const { quietMs } = this.#options;
    const id = String(++this.#turn);
    this.#namespace(namespace).servedAt = this.#turn;
    // What begins beside work that hangs will hang as well.
    const held = { namespace, within, movedAtMs: this.#clock.monotonicMs(), isQuiet: this.#slow.has(within) };
    this.#held.set(id, held);
    this.#heldWithin.set(within, (this.#heldWithin.get(within) ?? 0) + 1);
    this.#count(held, 1);
    if (quietMs !== undefined) this.#timers.set(id, quietMs);
    return { moved: () => this.#moved(id), [Symbol.dispose]: () => this.#release(id) };
  }

  #release(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    const { namespace, within } = held;
    this.#held.delete(id);
    this.#timers.clear(id);
    const left = (this.#heldWithin.get(within) ?? 0) - 1;
    if (left > 0) this.#heldWithin.set(within, left);
    else this.#heldWithin.delete(within);
    this.#count(held, -1);
    if (this.#quietInMs(held) > 0) this.#slow.delete(within);
    this.#admit();
    this.#forgetIfIdle(namespace);
  }

  #moved(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    held.movedAtMs = this.#clock.monotonicMs();
    if (!held.isQuiet) return;
    held.isQuiet = false;
    this.#count(held, 1);
    this.#timers.set(id, this.#quietInMs(held));
    this.#slow.delete(held.within);
    this.#admit();
  }

  #look(id: string): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    const leftMs = this.#quietInMs(held);
    if (leftMs > 0) return void this.#timers.set(id, leftMs);
    this.#slow.add(held.within);
    this.#count(held, -1);
    held.isQuiet = true;
    this.#admit();
  }

  #quietInMs({ movedAtMs }: Held): number {
    return movedAtMs + (this.#options.quietMs ?? Number.POSITIVE_INFINITY) - this.#clock.monotonicMs();
  }

  #count({ namespace, isQuiet }: Held, change: 1 | -1): void {
    if (isQuiet) return;
    this.#counted += change;
    this.#namespace(namespace).counted += change;
  }

  #namespace(name: string): Namespace {
    const known = this.#namespaces.get(name);
    if (known !== undefined) return known;
    const namespace = { counted: 0, servedAt: ++this.#turn, line: [] };
    this.#namespaces.set(name, namespace);
    return namespace;
  }

  #forgetIfIdle(name: string): void {
    const namespace = this.#namespaces.get(name);
    if (namespace?.counted === 0 && namespace.line.length === 0) this.#namespaces.delete(name);
  }

  #changed(): void {
    this.#options.onChange?.({ running: this.running, waiting: this.waiting });
  }
}
