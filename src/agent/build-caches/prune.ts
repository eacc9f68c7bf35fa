import type { BuildCache } from '../../api/build-cache.ts';
import { type CacheObservation, currentGeneration, type Generation, observeCache } from '../../storage/caches/cache.ts';
import { freePercent, removeGenerations } from '../../storage/caches/remove.ts';
import { claimUidAt } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';
import { claimsOf, holdsClone } from './relations.ts';

type PruneOptions = Pick<BuildCacheReconcilerOptions, 'claims' | 'locks'>;

/**
 * Tells which generations must not go: the newest, the pinned one, those that claims started from, and those that a clone has
 * become that is still there (by that a release is known to have been judged, rule 9).
 */
export async function keptGenerations(
  { claims }: Pick<PruneOptions, 'claims'>,
  cache: BuildCache,
  seen: CacheObservation,
  tree: Tree,
): Promise<(generation: Generation) => boolean> {
  const bases = new Set(
    claimsOf(cache, claims)
      .filter(holdsClone)
      .map(({ status }) => status.baseGeneration),
  );
  const clones = new Set(
    [...(await tree.list())].flatMap(([path, { uuid }]) => (claimUidAt(path) === undefined ? [] : [uuid])),
  );
  const current = currentGeneration(seen)?.number;
  return ({ number, subvolume }) =>
    number === current ||
    number === cache.spec.pinnedGeneration ||
    bases.has(number) ||
    (subvolume.parentUUID !== undefined && clones.has(subvolume.parentUUID));
}

export interface Freed {
  readonly removed: readonly Generation[];
  /** Less is free than is wanted, and nothing more may go. */
  readonly pressure: string | undefined;
}

/** As much of the volume is free as the cache asks for, or all generations that may go are gone, the oldest first. */
export async function keepFree(options: PruneOptions, cache: BuildCache, tree: Tree): Promise<Freed> {
  const { uid } = cache.metadata;
  const { minFreePercent } = cache.spec;
  const removed: Generation[] = [];
  if (minFreePercent === 0 || (await freePercent(tree, 'now')) >= minFreePercent)
    return { removed, pressure: undefined };
  for (;;) {
    // Outside of the lock: the kernel may take its time to give back what was deleted before, here or by others.
    const percent = await freePercent(tree, 'reclaimed');
    if (percent >= minFreePercent) return { removed, pressure: undefined };
    const last = await options.locks.alone(uid, async () => {
      const seen = await observeCache(tree, uid);
      const isKept = await keptGenerations(options, cache, seen, tree);
      const oldest = seen.generations.filter((generation) => !isKept(generation)).slice(0, 1);
      const held = await removeGenerations(tree, uid, oldest);
      return oldest.filter((generation) => !held.includes(generation));
    });
    if (last.length === 0) {
      const pressure = `${Math.floor(percent)} % of the volume are free, less than spec.minFreePercent ${minFreePercent}, and every generation that is left is the newest, pinned, or in use by a claim; raise the size of the volume, or release claims`;
      return { removed, pressure };
    }
    removed.push(...last);
  }
}
