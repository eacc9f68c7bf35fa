import { buildCacheType } from '../api/build-cache.ts';
import { buildCacheClaimType } from '../api/build-cache-claim.ts';
import { loopbackVolumeType } from '../api/loopback-volume.ts';
import { snapshotType } from '../api/snapshot.ts';
import { createResourceClient } from '../kube/resource-client.ts';
import { podType } from '../kube/resource-types.ts';
import { type Reconciler, startReconciler } from '../runtime/reconciler.ts';
import { judge } from './judge.ts';
import { createOrphanRequests, type OrphanRequests } from './node/orphan-requests.ts';
import { createOrphanReconcile } from './node/remove-orphan.ts';
import { sharedAmongVolumes } from './passes.ts';
import type { ReconcilerParts } from './reconcilers.ts';
import { createPodsUsing } from './volumes/users.ts';

/** So many may hang in their volumes before others wait for the end of a command. */
const CONCURRENCY = 16;

export interface OrphanReconciler {
  readonly reconciler: Reconciler;
  readonly requests: OrphanRequests;
}

/** The loop over the orphans that the user wants removed, by their uids; does nothing until the requests have been read. */
export function startOrphanReconciler(parts: ReconcilerParts): OrphanReconciler {
  const { config, log, metrics, transport, storage, events, orphans } = parts;
  const requests = createOrphanRequests((uid) => reconciler.enqueue(uid));
  const reconcile = createOrphanReconcile({
    storage,
    events,
    podsUsing: createPodsUsing(createResourceClient(transport, podType), config.nodeName),
    clients: {
      LoopbackVolume: createResourceClient(transport, loopbackVolumeType),
      Snapshot: createResourceClient(transport, snapshotType),
      BuildCache: createResourceClient(transport, buildCacheType),
      BuildCacheClaim: createResourceClient(transport, buildCacheClaimType),
    },
    orphans,
    requests,
    wake: (uid) => reconciler.enqueue(uid),
  });
  const hooks = metrics.reconcilerHooks('orphan');
  const reconciler = startReconciler({
    name: 'orphan',
    ...sharedAmongVolumes(CONCURRENCY, (uid) => uid),
    reconcile,
    judge,
    log,
    ...hooks,
  });
  return { reconciler, requests };
}
