export interface FairSlotsOptions {
  /** How many may be held at once. */
  readonly limit: number;
  /** How many may wait; one more is turned away. */
  readonly maxWaiting: number;
  readonly onChange?: (state: { readonly running: number; readonly waiting: number }) => void;
}

/** The line is full. */
export class LineFullError extends Error {}

/**
 * A limit shared by groups. A free slot goes to the group that holds the fewest, among equals to the one that was served
 * (or came) longest ago, so that no group waits for another's whole line, and none for ever.
 */
export interface FairSlots {
  /** A slot, held until it is disposed of. Throws {@link LineFullError}, or the signal's reason. */
  acquire(group: string, signal: AbortSignal): Promise<Disposable>;
  readonly running: number;
  readonly waiting: number;
}

interface Waiter {
  readonly enter: () => void;
}

interface Group {
  held: number;
  /** Grows each time the group gets a slot or comes anew. */
  servedAt: number;
  readonly line: Waiter[];
}

export function createFairSlots({ limit, maxWaiting, onChange }: FairSlotsOptions): FairSlots {
  const groups = new Map<string, Group>();
  let running = 0;
  let waiting = 0;
  let turn = 0;
  const changed = () => onChange?.({ running, waiting });

  const groupOf = (name: string): Group => {
    const known = groups.get(name);
    if (known !== undefined) return known;
    const group = { held: 0, servedAt: ++turn, line: [] };
    groups.set(name, group);
    return group;
  };
  const forgetIfIdle = (name: string, group: Group) => {
    if (group.held === 0 && group.line.length === 0) groups.delete(name);
  };
  const admitNext = () => {
    if (running >= limit) return;
    const [next] = [...groups.values()]
      .filter(({ line }) => line.length > 0)
      .sort((a, b) => a.held - b.held || a.servedAt - b.servedAt);
    next?.line.shift()?.enter();
  };
  const hold = (name: string, group: Group): Disposable => {
    running++;
    group.held++;
    group.servedAt = ++turn;
    let isHeld = true;
    return {
      [Symbol.dispose]() {
        if (!isHeld) return;
        isHeld = false;
        running--;
        group.held--;
        admitNext();
        forgetIfIdle(name, group);
        changed();
      },
    };
  };

  const standInLine = (name: string, group: Group, signal: AbortSignal) =>
    new Promise<Disposable>((resolve, reject) => {
      const leave = () => {
        waiting--;
        signal.removeEventListener('abort', giveUp);
      };
      const waiter = {
        enter() {
          leave();
          resolve(hold(name, group));
        },
      };
      const giveUp = () => {
        leave();
        group.line.splice(group.line.indexOf(waiter), 1);
        forgetIfIdle(name, group);
        changed();
        reject(signal.reason);
      };
      waiting++;
      group.line.push(waiter);
      signal.addEventListener('abort', giveUp, { once: true });
    });

  return {
    async acquire(name, signal) {
      signal.throwIfAborted();
      if (running >= limit && waiting >= maxWaiting) throw new LineFullError(`${maxWaiting} wait already`);
      const group = groupOf(name);
      const slot = running < limit ? hold(name, group) : standInLine(name, group, signal);
      changed();
      return await slot;
    },
    get running() {
      return running;
    },
    get waiting() {
      return waiting;
    },
  };
}
