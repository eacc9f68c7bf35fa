import { settledOrAborted } from './deadline.ts';

/** At most so many are in at once; the others wait, first come, first served. */
export interface Line {
  /** A place, held until it is disposed of. Throws the signal's reason. */
  enter(signal?: AbortSignal): Promise<Disposable>;
}

export function createLine(limit: number): Line {
  const waiting = new Set<() => void>();
  let taken = 0;
  const leave = () => {
    taken--;
    const [next] = waiting;
    next?.();
  };
  const take = (): Disposable => {
    taken++;
    return { [Symbol.dispose]: leave };
  };
  return {
    async enter(signal) {
      if (taken < limit) return take();
      const turn = Promise.withResolvers<Disposable>();
      const enter = () => {
        waiting.delete(enter);
        turn.resolve(take());
      };
      waiting.add(enter);
      try {
        return await (signal === undefined ? turn.promise : settledOrAborted(turn.promise, signal));
      } catch (error) {
        // Either it is still in line, or its turn came at the same moment.
        if (!waiting.delete(enter)) leave();
        throw error;
      }
    },
  };
}
