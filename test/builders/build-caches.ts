import { type BuildCache, type BuildCacheStatus, parseBuildCache } from '../../src/api/build-cache.ts';
import {
  type BuildCacheClaim,
  type BuildCacheClaimStatus,
  parseBuildCacheClaim,
} from '../../src/api/build-cache-claim.ts';
import type { ObjectMeta } from '../../src/kube/object.ts';

interface Parts<Status> {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Partial<Status>;
}

/** A BuildCache ns/cache in volume `vol`, not placed yet. */
export function cacheOf({ metadata = {}, spec = {}, status = {} }: Parts<BuildCacheStatus> = {}): BuildCache {
  const name = metadata.name ?? 'cache';
  return parseBuildCache({
    metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion: '1', generation: 1, ...metadata },
    spec: { volumeRef: { name: 'vol' }, ...spec },
    status: { observedGeneration: -1, ...status },
  });
}

/** A BuildCacheClaim ns/claim of cache `cache`, not placed yet. */
export function claimOf({ metadata = {}, spec = {}, status = {} }: Parts<BuildCacheClaimStatus> = {}): BuildCacheClaim {
  const name = metadata.name ?? 'claim';
  return parseBuildCacheClaim({
    metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion: '1', generation: 1, ...metadata },
    spec: { cacheRef: { name: 'cache' }, ...spec },
    status: { observedGeneration: -1, ...status },
  });
}
