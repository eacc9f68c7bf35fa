import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { currentGeneration, type Generation, observeCache } from '../../storage/caches/cache.ts';
import { makeClone } from '../../storage/caches/claim.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { referenceKey } from '../snapshots/relations.ts';

/** The claim has its clone, on disk; many may clone one cache at once. Throws `not-ready` with a reason while the cache gives none. */
export async function clone(options: ClaimReconcilerOptions, claim: BuildCacheClaim, tree: Tree): Promise<Generation> {
  const { caches, locks, clock, metrics } = options;
  const { name: cacheName } = claim.spec.cacheRef;
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  if (cache === undefined || cache.metadata.deletionTimestamp !== undefined) {
    throw notReady('CacheNotFound', `there is no BuildCache "${cacheName}" any more; make it, or delete the claim`);
  }
  const { uid: cacheUid, namespace = '' } = cache.metadata;
  const fromMs = clock.monotonicMs();
  const base = await locks.shared(cacheUid, async () => {
    const seen = await observeCache(tree, cacheUid);
    const { pinnedGeneration } = cache.spec;
    const generation =
      pinnedGeneration === undefined
        ? currentGeneration(seen)
        : seen.generations.find(({ number }) => number === pinnedGeneration);
    const isStale =
      seen.record !== undefined && seen.record !== 'damaged' && seen.record.resetToken !== cache.spec.resetToken;
    if (generation === undefined || isStale) {
      throw notReady('CacheNotReady', `BuildCache "${cacheName}" gives no clones at the moment; see its conditions`);
    }
    const { uid, namespace: claimNamespace = '', name } = claim.metadata;
    const owner = claim.spec.owner ?? cache.spec.owner;
    const { access } = claim.spec;
    await makeClone(tree, { uid, namespace: claimNamespace, name }, { cacheUid, base: generation, access, owner });
    return generation;
  });
  metrics.operationEnded('clone', clock.monotonicMs() - fromMs);
  metrics.cloned({ namespace, name: cacheName }, base.origin?.from === 'Empty' ? 'miss' : 'hit');
  return base;
}

function notReady(reason: string, message: string): StorageError {
  return new StorageError('not-ready', message, { reason });
}
