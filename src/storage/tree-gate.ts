import { StorageError } from './errors.ts';

/** Work on a tree is short, but for transfers: those are named to whoever wants the volume unmounted. */
const PATIENCE_MS = 10_000;

/** Who works on the mounted trees of volumes, so that none is unmounted under them. Many may work on one tree at once. */
export interface TreeGate {
  /** Runs `work` while the tree stays as it is; waits while it is closed. */
  readonly enter: <T>(uid: string, work: () => Promise<T>) => Promise<T>;
  /** Runs `work` while nobody is in the tree. Throws `in-use` if somebody stays too long. */
  readonly close: <T>(uid: string, work: () => Promise<T>) => Promise<T>;
}

export function createTreeGate(patienceMs = PATIENCE_MS): TreeGate {
  const inside = new Map<string, Set<Promise<unknown>>>();
  const closed = new Map<string, Promise<unknown>>();
  return {
    async enter(uid, work) {
      for (let closing = closed.get(uid); closing !== undefined; closing = closed.get(uid)) {
        await closing.catch(() => undefined);
      }
      const working = work();
      const others = inside.get(uid) ?? new Set();
      inside.set(uid, others.add(working));
      try {
        return await working;
      } finally {
        others.delete(working);
        if (others.size === 0 && inside.get(uid) === others) inside.delete(uid);
      }
    },
    async close(uid, work) {
      // The caller has the volume's queue: two closings never meet.
      const closing = (async () => {
        await emptied(inside.get(uid), patienceMs);
        return await work();
      })();
      closed.set(uid, closing);
      try {
        return await closing;
      } finally {
        closed.delete(uid);
      }
    },
  };
}

async function emptied(users: ReadonlySet<Promise<unknown>> | undefined, patienceMs: number): Promise<void> {
  if (users === undefined) return;
  const { promise: expired, resolve } = Promise.withResolvers<'expired'>();
  const timer = setTimeout(resolve, patienceMs, 'expired');
  try {
    const ended = await Promise.race([Promise.allSettled(users), expired]);
    if (ended !== 'expired') return;
  } finally {
    clearTimeout(timer);
  }
  throw new StorageError('in-use', 'Snapshots of the volume are being made or sent; this goes on when that has ended', {
    reason: 'InUse',
  });
}
