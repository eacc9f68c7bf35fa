import type { BuildCache } from '../../api/build-cache.ts';
import { BUILD_CACHE_FINALIZER } from '../../api/group.ts';
import type { Cluster } from '../cluster.ts';
import { follows, followVolume } from '../objects/follow.ts';
import type { PlacedKind } from '../objects/placed-kind.ts';

/** A BuildCache goes where its volume is. */
export function buildCacheKind(cluster: Cluster): PlacedKind<BuildCache> {
  return {
    ...follows,
    finalizer: BUILD_CACHE_FINALIZER,
    client: cluster.clients.caches,
    managed: cluster.managed.caches,
    cached: (key) => cluster.caches.get(key),
    place: (cache) => followVolume(cluster, cache),
    leftBehind: ({ spec }) => `in LoopbackVolume ${spec.volumeRef.name}`,
  };
}
