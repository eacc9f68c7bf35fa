/** Work on things by key: with others that share one, or alone. Who asks first is served first. */
export interface SharedLocks {
  readonly shared: <T>(key: string, work: () => Promise<T>) => Promise<T>;
  readonly alone: <T>(key: string, work: () => Promise<T>) => Promise<T>;
  /** How many keys somebody works on or waits for. */
  readonly size: number;
}

/** Those who came last: one who has it alone, then those who share it after that one. */
interface Queue {
  readonly alone: Promise<unknown>;
  readonly shared: Set<Promise<unknown>>;
}

/** `onWait` is told how long each had to wait, in milliseconds. */
export function createSharedLocks(onWait: (waitedMs: number) => void = () => undefined): SharedLocks {
  const queues = new Map<string, Queue>();
  const begin = async <T>(before: readonly Promise<unknown>[], work: () => Promise<T>): Promise<T> => {
    const fromMs = performance.now();
    await Promise.all(before);
    onWait(performance.now() - fromMs);
    return await work();
  };
  const forgetUnused = (key: string, queue: Queue) => {
    if (queues.get(key) === queue && queue.shared.size === 0) queues.delete(key);
  };
  return {
    get size() {
      return queues.size;
    },
    async shared(key, work) {
      const queue = queues.get(key) ?? { alone: Promise.resolve(), shared: new Set() };
      queues.set(key, queue);
      const turn = begin([queue.alone], work);
      const ended = turn.catch(() => undefined);
      queue.shared.add(ended);
      try {
        return await turn;
      } finally {
        queue.shared.delete(ended);
        forgetUnused(key, queue);
      }
    },
    async alone(key, work) {
      const before = queues.get(key);
      const turn = begin(before === undefined ? [] : [before.alone, ...before.shared], work);
      const queue: Queue = { alone: turn.catch(() => undefined), shared: new Set() };
      queues.set(key, queue);
      try {
        return await turn;
      } finally {
        forgetUnused(key, queue);
      }
    },
  };
}
