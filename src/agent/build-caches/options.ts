import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { BuildCacheReason } from '../../api/reasons-build-cache.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { CacheMetrics } from '../../net/cache-metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Storage } from '../../storage/context.ts';
import type { SharedLocks } from '../../storage/shared-locks.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';
import type { Cached } from '../snapshots/options.ts';
import type { StatusWriter } from '../status-writer.ts';
import type { PodsUsing } from '../volumes/users.ts';
import type { NamedClaims } from './named-claims.ts';
import type { Tally } from './tally.ts';

/** What passes over BuildCaches and over their claims work with alike. */
export interface CachePassOptions {
  readonly nodeName: string;
  readonly storage: Storage;
  readonly caches: Cached<BuildCache>;
  readonly claims: Cached<BuildCacheClaim>;
  readonly volumes: Cached<LoopbackVolume>;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** By uid of the cache: shared by those who clone, alone for who publishes, resets or removes. */
  readonly locks: SharedLocks;
  readonly tally: Tally;
  readonly metrics: CacheMetrics;
  readonly podsUsing: PodsUsing;
}

export interface BuildCacheReconcilerOptions extends CachePassOptions {
  readonly client: ResourceClient<BuildCache>;
  readonly claimClient: ResourceClient<BuildCacheClaim>;
  readonly snapshots: Cached<Snapshot>;
  readonly named: NamedClaims;
  readonly writer: StatusWriter<BuildCache>;
  /** What lives in this volume has changed. */
  readonly onVolumeContent: (volumeUid: string) => void;
}

export interface ClaimReconcilerOptions extends CachePassOptions {
  readonly client: ResourceClient<BuildCacheClaim>;
  readonly cacheClient: Pick<ResourceClient<BuildCache>, 'get'>;
  readonly writer: StatusWriter<BuildCacheClaim>;
  /** The cache has something new to count. */
  readonly onOutcome: (cacheKey: string) => void;
}

export type Refusal = AnyRefusal<BuildCacheReason>;
