import type { BuildCache } from '../../api/build-cache.ts';
import { BUILD_CACHE_FINALIZER } from '../../api/group.ts';
import { buildCacheConditionTypes, buildCacheReasons } from '../../api/reasons-build-cache.ts';
import { removeCache } from '../../storage/caches/remove.ts';
import { StorageError } from '../../storage/errors.ts';
import { claimUidAt } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import { nameOf } from '../metrics-source.ts';
import { removeFromVolume } from '../pass/in-volume.ts';
import type { RemovalKind, Removed } from '../pass/removal.ts';
import { referenceKey } from '../snapshots/relations.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';
import { claimsOf } from './relations.ts';
import { ownedPart } from './status.ts';
import { removeStrays } from './strays.ts';

const MAX_NAMED = 10;

/** What is particular when a BuildCache goes: claims that have clones keep them, and it waits for those. */
export function buildCacheRemoval(options: BuildCacheReconcilerOptions): RemovalKind<BuildCache> {
  return {
    finalizer: BUILD_CACHE_FINALIZER,
    reasons: buildCacheReasons,
    conditionTypes: buildCacheConditionTypes,
    kept: [],
    blockers: async () => undefined,
    remove: (cache) => remove(options, cache),
    figures: ownedPart,
    forget: (cache) => options.metrics.forget(nameOf(cache)),
  };
}

async function remove(options: BuildCacheReconcilerOptions, cache: BuildCache): Promise<Removed> {
  const { storage, volumes, locks } = options;
  const { uid } = cache.metadata;
  const volume = volumes.get(referenceKey(cache, cache.spec.volumeRef));
  const step = await removeFromVolume(storage, volume, async (tree) => {
    // Nobody looks for what its claims have left behind once it is gone.
    await removeStrays(options, cache, tree);
    const done = await locks.alone(uid, () => removeCache(tree, uid));
    await refuseClones(options, cache, tree);
    return done;
  });
  return { step, reason: 'Removed', message: 'nothing is left of the cache on the node' };
}

/** Which claims still have clones is read from the volume. Throws `in-use` naming them. */
async function refuseClones({ claims }: BuildCacheReconcilerOptions, cache: BuildCache, tree: Tree): Promise<void> {
  const clones = new Set([...(await tree.list()).keys()].map(claimUidAt));
  const held = claimsOf(cache, claims).filter(({ metadata }) => clones.has(metadata.uid));
  if (held.length === 0) return;
  const names = held.slice(0, MAX_NAMED).map(({ metadata }) => metadata.name);
  const more = held.length > names.length ? ` and ${held.length - names.length} more` : '';
  const message = `its generations are gone; deletion waits for the claims that still work with clones: ${names.join(', ')}${more}`;
  throw new StorageError('in-use', message, { reason: 'HasDependents' });
}
