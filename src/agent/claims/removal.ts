import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { BUILD_CACHE_CLAIM_FINALIZER } from '../../api/group.ts';
import { buildCacheClaimConditionTypes, buildCacheClaimReasons } from '../../api/reasons-build-cache.ts';
import { observeClaim, removeClaim } from '../../storage/caches/claim.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { goesWithVolume } from '../pass/in-volume.ts';
import type { RemovalKind, Removed } from '../pass/removal.ts';
import { referenceKey } from '../snapshots/relations.ts';
import { discardedBecause, type Release } from './judge-release.ts';
import { isClosed, isNowhere, withClaimTree } from './place.ts';
import { release } from './release.ts';
import { statusOf } from './status.ts';
import { refuseUsed, tellRelease } from './tell.ts';

/** What is particular when a BuildCacheClaim goes: a release that was asked for before is judged, a claim without one is discarded. */
export function claimRemoval(options: ClaimReconcilerOptions): RemovalKind<BuildCacheClaim> {
  return {
    finalizer: BUILD_CACHE_CLAIM_FINALIZER,
    reasons: buildCacheClaimReasons,
    conditionTypes: buildCacheClaimConditionTypes,
    kept: ['Released'],
    blockers: async () => undefined,
    remove: (claim) => remove(options, claim),
    figures: ({ status }) => status,
  };
}

async function remove(options: ClaimReconcilerOptions, claim: BuildCacheClaim): Promise<Removed> {
  const step = isGoneWithVolume(options, claim) ? 'gone with its volume' : await removeReleased(options, claim);
  return { step, reason: 'Removed', message: 'nothing is left of the claim on the node' };
}

/** The volume of its cache went before it, and took its clone along. */
function isGoneWithVolume({ caches, volumes }: ClaimReconcilerOptions, claim: BuildCacheClaim): boolean {
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  return cache !== undefined && volumes.get(referenceKey(cache, cache.spec.volumeRef)) === undefined;
}

async function removeReleased(options: ClaimReconcilerOptions, claim: BuildCacheClaim): Promise<string> {
  try {
    return await withClaimTree(options, claim, async (tree) => {
      const { clone, record } = await observeClaim(tree, claim.metadata.uid);
      const isThere = clone !== undefined || record !== undefined;
      if (isThere || claim.status.outcome === undefined) {
        await judge(options, claim, await release(options, claim, tree));
      }
      await refuseUsed(options, claim, tree);
      return await removeClaim(tree, claim.metadata.uid);
    });
  } catch (error) {
    const lost = lossBy(options, claim, error);
    if (lost === undefined) throw error;
    // Whoever was never told of a clone has lost none.
    if (claim.status.outcome === undefined && claim.status.baseGeneration !== undefined)
      await judge(options, claim, lost);
    return 'was gone already';
  }
}

const neverMade = discardedBecause('NeverMade', 'the claim was deleted before it had a clone');

/** What a failure says of a clone that is nowhere, or goes with its volume; undefined: it may still be there. */
function lossBy({ caches, volumes }: ClaimReconcilerOptions, claim: BuildCacheClaim, error: unknown) {
  if (isNowhere(error)) return discardedBecause('CloneMissing', 'the clone is gone from the volume');
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  const volume = cache === undefined ? undefined : volumes.get(referenceKey(cache, cache.spec.volumeRef));
  // Nobody was told of a clone of a cache that is gone: volumes that can't be looked into are not waited for.
  if (cache === undefined && claim.status.baseGeneration === undefined && isClosed(error)) return neverMade;
  if (volume === undefined || !goesWithVolume(volume, error)) return undefined;
  return discardedBecause('CacheDeleted', 'the volume of the cache is being deleted, and is not mounted any more');
}

/** The outcome is in status before the clone goes (rule 9). */
async function judge(options: ClaimReconcilerOptions, claim: BuildCacheClaim, judged: Release): Promise<void> {
  const { writer, clock } = options;
  const status = statusOf({ claim, seen: undefined, refusal: undefined, release: judged, now: clock.now() });
  await writer.write(claim, status);
  if (claim.status.outcome !== judged.outcome) tellRelease(options, claim, judged);
}
