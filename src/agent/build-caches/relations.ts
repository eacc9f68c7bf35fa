import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import type { Cached } from '../snapshots/options.ts';
import { referenceKey } from '../snapshots/relations.ts';

export function cachesIn(volume: LoopbackVolume, caches: Cached<BuildCache>): readonly BuildCache[] {
  const key = keyOf(volume);
  return [...caches.values()].filter((cache) => referenceKey(cache, cache.spec.volumeRef) === key);
}

export function claimsOf(cache: BuildCache, claims: Cached<BuildCacheClaim>): readonly BuildCacheClaim[] {
  const key = keyOf(cache);
  return [...claims.values()].filter((claim) => referenceKey(claim, claim.spec.cacheRef) === key);
}

/** Claims whose cache was removed by force: their clones may be in this volume. */
export function lostClaims(
  { metadata }: LoopbackVolume,
  { claims, buildCaches }: { readonly claims: Cached<BuildCacheClaim>; readonly buildCaches: Cached<BuildCache> },
): readonly BuildCacheClaim[] {
  return [...claims.values()].filter(
    (claim) =>
      claim.metadata.namespace === metadata.namespace &&
      buildCaches.get(referenceKey(claim, claim.spec.cacheRef)) === undefined,
  );
}

/** The claim has a clone, and nothing was decided of it yet. */
export function isActive({ status }: BuildCacheClaim): boolean {
  return status.baseGeneration !== undefined && status.outcome === undefined;
}

/** There may still be a clone of it on the node. */
export function holdsClone(claim: BuildCacheClaim): boolean {
  return isActive(claim) || isTrue(claim.status.conditions, 'InUse');
}
