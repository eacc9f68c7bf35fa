import { buildCacheType } from '../api/build-cache.ts';
import { buildCacheClaimType } from '../api/build-cache-claim.ts';
import { agentManager } from '../api/group.ts';
import { managedType } from '../kube/managed-fields.ts';
import { createResourceClient } from '../kube/resource-client.ts';
import { podType } from '../kube/resource-types.ts';
import { systemClock } from '../runtime/clock.ts';
import { type Reconciler, startReconciler } from '../runtime/reconciler.ts';
import { createSharedLocks } from '../storage/shared-locks.ts';
import { createNamedClaims } from './build-caches/named-claims.ts';
import type { CachePassOptions } from './build-caches/options.ts';
import { createBuildCacheReconcile } from './build-caches/reconcile.ts';
import { createTally } from './build-caches/tally.ts';
import { createClaimReconcile } from './claims/reconcile.ts';
import { judge } from './judge.ts';
import { sharedAmongVolumes, volumeKeyIn, volumeKeyOfClaim } from './passes.ts';
import type { ReconcilerParts } from './reconcilers.ts';
import { createStatusWriter } from './status-writer.ts';
import { createPodsUsing } from './volumes/users.ts';

/** Passes mostly wait, for the API server and for commands that many of them share. */
const CONCURRENCY = 128;

export interface CacheReconcilers {
  readonly buildCaches: Reconciler;
  readonly claims: Reconciler;
}

/** The loops over the BuildCaches of this node and their claims; they do nothing until a key is enqueued. */
export function startCacheReconcilers(parts: ReconcilerParts, onOutcome: (cacheKey: string) => void): CacheReconcilers {
  const { config, log, metrics, cacheMetrics, transport, storage, caches, events, renewal, said } = parts;
  const { nodeName } = config;
  const fieldManager = agentManager(nodeName);
  const common: CachePassOptions = {
    nodeName,
    storage,
    caches: caches.buildCaches,
    claims: caches.claims,
    volumes: caches.volumes,
    events,
    clock: systemClock,
    locks: createSharedLocks(cacheMetrics.lockWaited),
    tally: createTally(),
    metrics: cacheMetrics,
    podsUsing: createPodsUsing(createResourceClient(transport, podType), nodeName),
  };
  const client = createResourceClient(transport, buildCacheType);
  const claimClient = createResourceClient(transport, buildCacheClaimType);
  const start = (
    name: string,
    withinOf: (key: string) => string,
    reconcile: Parameters<typeof startReconciler>[0]['reconcile'],
  ) => {
    const places = sharedAmongVolumes(CONCURRENCY, withinOf);
    return startReconciler({ name, ...places, reconcile, judge, log, ...metrics.reconcilerHooks(name) });
  };
  return {
    buildCaches: start(
      'buildcache',
      volumeKeyIn(caches.buildCaches),
      createBuildCacheReconcile({
        ...common,
        client,
        claimClient,
        snapshots: caches.snapshots,
        named: createNamedClaims({ client: createResourceClient(transport, managedType(buildCacheType)), nodeName }),
        onVolumeContent: parts.orphans.look,
        writer: createStatusWriter({
          client,
          fieldManager,
          renewal,
          said: said.buildCaches,
        }),
      }),
    ),
    claims: start(
      'buildcacheclaim',
      volumeKeyOfClaim(caches),
      createClaimReconcile({
        ...common,
        client: claimClient,
        cacheClient: client,
        onOutcome,
        writer: createStatusWriter({
          client: claimClient,
          fieldManager,
          renewal,
          said: said.claims,
        }),
      }),
    ),
  };
}
