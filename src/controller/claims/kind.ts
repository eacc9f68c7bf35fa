import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { findCondition } from '../../api/conditions.ts';
import { BUILD_CACHE_CLAIM_FINALIZER } from '../../api/group.ts';
import type { Cluster } from '../cluster.ts';
import { follow, follows } from '../objects/follow.ts';
import type { PlacedKind, Placement } from '../objects/placed-kind.ts';

/** A BuildCacheClaim goes where its cache is, and is deleted some time after its release was judged. */
export function buildCacheClaimKind(cluster: Cluster): PlacedKind<BuildCacheClaim> {
  return {
    ...follows,
    finalizer: BUILD_CACHE_CLAIM_FINALIZER,
    client: cluster.clients.claims,
    managed: cluster.managed.claims,
    cached: (key) => cluster.claims.get(key),
    place: (claim) => followCache(cluster, claim),
    expiresAt,
    leftBehind: ({ status }) => status.path ?? 'in the volume of its cache',
  };
}

export function followCache(cluster: Pick<Cluster, 'caches'>, claim: BuildCacheClaim): Placement {
  const { name } = claim.spec.cacheRef;
  return follow(claim, {
    kind: 'BuildCache',
    name,
    field: 'spec.cacheRef',
    object: cluster.caches.get(`${claim.metadata.namespace}/${name}`),
    whenDeleted: 'no clone is made of it any more',
    reasons: { notFound: 'CacheNotFound', notPlaced: 'CacheNotPlaced' },
  });
}

/**
 * When a claim is to be deleted; `undefined` until its release was judged. The node's clock says since when, the controller's
 * whether it is over: by how much they differ, so much earlier or later it goes.
 */
export function expiresAt({ spec, status }: BuildCacheClaim): Date | undefined {
  // A job goes on until its user says that it has ended, whatever status says.
  if (spec.release === undefined) return undefined;
  const released = findCondition(status.conditions, 'Released');
  if (released?.status !== 'True') return undefined;
  const sinceMs = Date.parse(released.lastTransitionTime);
  return Number.isNaN(sinceMs) ? undefined : new Date(sinceMs + spec.ttlSecondsAfterReleased * 1000);
}
