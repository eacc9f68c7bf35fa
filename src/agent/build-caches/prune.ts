import type { BuildCache } from '../../api/build-cache.ts';
import { keyOf } from '../../kube/object.ts';
import { type CacheObservation, currentGeneration, type Generation, observeCache } from '../../storage/caches/cache.ts';
import { freeSpace, removeGenerations } from '../../storage/caches/remove.ts';
import { StorageError } from '../../storage/errors.ts';
import { claimUidAt } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';
import { claimsOf, holdsClone } from './relations.ts';

type PruneOptions = Pick<BuildCacheReconcilerOptions, 'claims' | 'client' | 'locks'>;

/** Tells which generations must not go, by what a cache says. */
export type KeptBy = (cache: BuildCache) => (generation: Generation) => boolean;

/**
 * Tells which generations must not go: the newest, the pinned one, those that clones were made of, those that claims say they
 * started from, and those that a clone has become that is still there (by that a release is known to have been judged, rule 9). What
 * claims say can keep one more, and lets none go.
 */
export async function keptGenerations(
  { claims }: Pick<PruneOptions, 'claims'>,
  cache: BuildCache,
  seen: CacheObservation,
  tree: Tree,
): Promise<KeptBy> {
  const bases = new Set(
    claimsOf(cache, claims)
      .filter(holdsClone)
      .map(({ status }) => status.baseGeneration),
  );
  const inClaims = [...(await tree.list())].flatMap(([path, clone]) => (claimUidAt(path) === undefined ? [] : [clone]));
  const clones = new Set(inClaims.map(({ uuid }) => uuid));
  const sources = new Set(inClaims.map(({ parentUUID }) => parentUUID));
  const current = currentGeneration(seen)?.number;
  return ({ spec }) =>
    ({ number, subvolume }) =>
      number === current ||
      number === spec.pinnedGeneration ||
      bases.has(number) ||
      sources.has(subvolume.uuid) ||
      (subvolume.parentUUID !== undefined && clones.has(subvolume.parentUUID));
}

/**
 * The cache as the API server has it now (rule 8): a pin that came after the pass began counts. Read last before generations are
 * removed. Throws `not-ready` if it is being deleted, or is another one of its name.
 */
export async function readAnew(
  { client }: Pick<PruneOptions, 'client'>,
  { metadata }: BuildCache,
): Promise<BuildCache> {
  const fresh = await client.get(keyOf({ metadata }));
  if (fresh?.metadata.uid === metadata.uid && fresh.metadata.deletionTimestamp === undefined) return fresh;
  throw new StorageError('not-ready', 'the cache is being deleted or was made anew', { reason: 'Pending' });
}

export interface Freed {
  readonly removed: readonly Generation[];
  /** Why less is free than is wanted; undefined: enough is. */
  readonly pressure: string | undefined;
  /** Space of what was removed is not free yet: it is looked at again. */
  readonly isPending: boolean;
}

/**
 * As much of the volume is free as the cache asks for, or all generations that may go are gone, the oldest first. None goes while the
 * kernel still holds the space of what was removed before: how much is missing is not known until then.
 */
export async function keepFree(options: PruneOptions, cache: BuildCache, tree: Tree): Promise<Freed> {
  const { uid } = cache.metadata;
  const { minFreePercent } = cache.spec;
  const removed: Generation[] = [];
  const isEnough = minFreePercent === 0 || (await freeSpace(tree, 'now')).percent >= minFreePercent;
  if (isEnough) return { removed, pressure: undefined, isPending: false };
  for (;;) {
    // Outside of the lock: the kernel may take its time to give back what was deleted before, here or by others.
    const { percent, isReclaimed } = await freeSpace(tree, 'reclaimed');
    if (percent >= minFreePercent) return { removed, pressure: undefined, isPending: false };
    const little = `less of the volume is free than spec.minFreePercent asks for, ${minFreePercent} %`;
    if (!isReclaimed) {
      const pressure = `${little}, and the space of what was removed is not free yet; no generation goes until it is: end what has files open in removed clones or generations`;
      return { removed, pressure, isPending: true };
    }
    const last = await options.locks.alone(uid, async () => {
      const seen = await observeCache(tree, uid);
      const keptBy = await keptGenerations(options, cache, seen, tree);
      if (seen.generations.every(keptBy(cache))) return [];
      const fresh = await readAnew(options, cache);
      if (percent >= fresh.spec.minFreePercent) return [];
      const isKept = keptBy(fresh);
      const oldest = seen.generations.filter((generation) => !isKept(generation)).slice(0, 1);
      const held = await removeGenerations(tree, uid, oldest);
      return oldest.filter((generation) => !held.includes(generation));
    });
    if (last.length === 0) {
      const pressure = `${little}, and every generation that is left is the newest, pinned, or in use by a claim; raise the size of the volume, or release claims`;
      return { removed, pressure, isPending: false };
    }
    removed.push(...last);
  }
}
