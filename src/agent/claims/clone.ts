import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { type CacheObservation, currentGeneration, type Generation, observeCache } from '../../storage/caches/cache.ts';
import { type ClaimObservation, makeClone, observeClaim, removeClaim } from '../../storage/caches/claim.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { referenceKey } from '../snapshots/relations.ts';
import { refuseUsed } from './tell.ts';

export interface Cloned extends ClaimObservation {
  /** The generation that it was made of just now; undefined: it was there. */
  readonly base: Generation | undefined;
}

/** The claim has its clone, on disk; many may clone one cache at once. Throws `not-ready` with a reason while the cache gives none. */
export async function ensureClone(
  options: ClaimReconcilerOptions,
  claim: BuildCacheClaim,
  tree: Tree,
): Promise<Cloned> {
  const { caches, locks, clock, metrics } = options;
  const { name: cacheName } = claim.spec.cacheRef;
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  if (cache === undefined || cache.metadata.deletionTimestamp !== undefined) {
    throw notReady('CacheNotFound', `there is no BuildCache "${cacheName}" any more; make it, or delete the claim`);
  }
  const { uid, namespace = '', name } = claim.metadata;
  const { uid: cacheUid } = cache.metadata;
  const fromMs = clock.monotonicMs();
  const cloned = await locks.shared(cacheUid, async (): Promise<Cloned> => {
    const [seen, cacheSeen] = await Promise.all([observeClaim(tree, uid), observeCache(tree, cacheUid)]);
    const { clone, record } = seen;
    if (clone !== undefined && record !== undefined && record !== 'damaged') return { clone, record, base: undefined };
    const base = generationFor(cacheSeen, cache.spec);
    if (base === undefined) {
      throw notReady('CacheNotReady', `BuildCache "${cacheName}" gives no clones at the moment; see its conditions`);
    }
    if (clone !== undefined) {
      // Half made: nobody was told of it, and nobody is in it.
      await refuseUsed(options, claim, tree);
      await removeClaim(tree, uid);
    }
    const owner = claim.spec.owner ?? cache.spec.owner;
    const { access } = claim.spec;
    return { ...(await makeClone(tree, { uid, namespace, name }, { cacheUid, base, access, owner })), base };
  });
  if (cloned.base !== undefined) {
    metrics.operationEnded('clone', clock.monotonicMs() - fromMs);
    metrics.cloned({ namespace, name: cacheName }, cloned.base.origin?.from === 'Empty' ? 'miss' : 'hit');
  }
  return cloned;
}

/** Where a claim starts from now; undefined: nowhere, also while a reset is yet to be done. */
function generationFor(
  seen: CacheObservation,
  { pinnedGeneration, resetToken }: { readonly pinnedGeneration?: number | undefined; readonly resetToken: string },
): Generation | undefined {
  const { record, generations } = seen;
  if (record === undefined || record === 'damaged' || record.resetToken !== resetToken) return undefined;
  if (pinnedGeneration === undefined) return currentGeneration(seen);
  return generations.find(({ number }) => number === pinnedGeneration);
}

function notReady(reason: string, message: string): StorageError {
  return new StorageError('not-ready', message, { reason });
}
