import type { Logger } from 'pino';
import { agentLeaseName, GROUP } from '../api/group.ts';
import { loopbackVolumeType } from '../api/loopback-volume.ts';
import { snapshotType } from '../api/snapshot.ts';
import type { AgentConfig } from '../config.ts';
import { createEventRecorder } from '../kube/events.ts';
import { runLeaseRenewal } from '../kube/lease.ts';
import { keyOf, ownerReferenceOf } from '../kube/object.ts';
import { createResourceClient } from '../kube/resource-client.ts';
import type { Transport } from '../kube/transport.ts';
import type { AgentMetrics } from '../net/agent-metrics.ts';
import { createCacheMetrics } from '../net/cache-metrics.ts';
import type { Metrics } from '../net/metrics.ts';
import { addNodeMetrics } from '../net/node-metrics.ts';
import { createTransferMetrics } from '../net/transfer-metrics.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import type { Storage } from '../storage/context.ts';
import { startCacheReconcilers } from './cache-reconcilers.ts';
import { type CacheListener, type Caches, startCaches } from './caches.ts';
import { createHostState } from './host-state.ts';
import { nameOf, nodeMetricsSource } from './metrics-source.ts';
import { createFirstList, type FirstList } from './node/first-list.ts';
import { createOrphanWatch } from './node/orphans.ts';
import { startOrphanReconciler } from './orphan-reconciler.ts';
import { createLongPlaces } from './passes.ts';
import {
  type ReconcilerParts,
  startNodeReconciler,
  startSnapshotReconciler,
  startVolumeReconciler,
} from './reconcilers.ts';
import { createRenewal } from './renewal.ts';
import { createSaidByKind } from './said-by-kind.ts';
import { createStreamSource } from './snapshots/serve.ts';
import { startTransferPort } from './transfer/port.ts';
import { createTriggers, type Queues, type Triggers } from './triggers.ts';
import { createVolumeWatch } from './volumes/watch.ts';

/** What the work on one node needs: a root that is ours, the API server, and where to say how it goes. */
export interface NodeAgentOptions {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly agentMetrics: AgentMetrics;
  readonly transport: Transport;
  readonly storage: Storage;
  /** Takes the check of readiness: why the agent can't do its work, undefined while it can. */
  readonly setReady: (check: () => string | undefined) => void;
}

/** Watches and reconciles the objects of one node until the signal aborts; then running work may end within the grace period. */
export async function runNodeAgent(agent: NodeAgentOptions, signal: AbortSignal): Promise<void> {
  const { config, log, transport, storage } = agent;
  const { nodeName } = config;
  const cacheMetrics = createCacheMetrics(agent.metrics.registry);
  // Nothing is worked on before the caches are whole: what the volumes add up to would be too little.
  let triggers: Triggers | undefined;
  const listener = listenerFor({ ...agent, cacheMetrics }, () => triggers);
  const volumes = () => caches.volumes.values();
  const host = await createHostState(storage, config, volumes);
  const caches = startCaches({ transport, nodeName, log, listener });
  const events = createEventRecorder({ transport, controller: `${GROUP}/agent`, instance: nodeName, log });
  const transfer = startTransferPort({
    config,
    transport,
    log,
    hooks: createTransferMetrics(agent.metrics.registry),
    source: createStreamSource({
      nodeName,
      storage,
      client: createResourceClient(transport, snapshotType),
      volumeClient: createResourceClient(transport, loopbackVolumeType),
      snapshots: caches.snapshots,
      volumes: caches.volumes,
    }),
    onEndpoint: () => triggers?.btrfsNodeChanged(),
  });
  addNodeMetrics(agent.metrics.registry, nodeMetricsSource({ nodeName, caches, host, transfer }));
  const firstList = createFirstList(systemClock);
  const parts: ReconcilerParts = {
    ...agent,
    cacheMetrics,
    caches,
    host,
    transfer,
    events,
    longPlaces: createLongPlaces(config.concurrency),
    renewal: createRenewal(),
    said: createSaidByKind(),
    orphans: createOrphanWatch({
      storage,
      caches,
      clock: systemClock,
      log,
      signal,
      onChange: () => (firstList.isWritten ? triggers?.nodeChanged() : triggers?.btrfsNodeChanged()),
    }),
    onUsage: usageListener(agent.agentMetrics, caches, () => triggers),
  };
  const { queues, stop } = startLoops(parts, firstList, (key) => triggers?.cacheOutcome(key));
  try {
    await caches.synced(signal);
    triggers = createTriggers({ nodeName, caches, queues, orphans: parts.orphans, said: parts.said });
    triggers.enqueueAll();
    parts.orphans.look();
    agent.setReady(() => caches.complaint() ?? parts.renewal.complaint() ?? firstList.complaint());
    await Promise.all([renewLease(parts, triggers, signal), lookRegularly(parts, triggers, signal)]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await stop(config.shutdownGraceSeconds * 1000);
    await Promise.all([caches.stop(), transfer.stop()]);
    await events.flush();
  }
}

/** All loops of an agent, which do nothing until keys are enqueued, and what ends them. */
function startLoops(parts: ReconcilerParts, firstList: FirstList, onCacheOutcome: (cacheKey: string) => void) {
  const removal = startOrphanReconciler(parts);
  const queues: Queues = {
    volumes: startVolumeReconciler(parts),
    snapshots: startSnapshotReconciler(parts),
    ...startCacheReconcilers(parts, onCacheOutcome),
    node: startNodeReconciler(parts, (btrfsNode, orphans) => {
      firstList.written(orphans);
      removal.requests.read(btrfsNode, orphans, parts.orphans.unfinished().keys());
    }),
  };
  const all = Object.values<Reconciler>({ ...queues, orphans: removal.reconciler });
  const stop = async (graceMs: number) => void (await Promise.all(all.map((loop) => loop.stop(graceMs))));
  return { queues, stop };
}

/** Passes changes on; the series of what is gone end, also where something was taken away without this agent. */
function listenerFor(
  { agentMetrics, cacheMetrics }: Pick<ReconcilerParts, 'agentMetrics' | 'cacheMetrics'>,
  triggers: () => CacheListener | undefined,
): CacheListener {
  return {
    volumeChanged(change) {
      if (change.kind === 'deleted') agentMetrics.removeVolume(nameOf(change.object));
      triggers()?.volumeChanged(change);
    },
    snapshotChanged: (change) => triggers()?.snapshotChanged(change),
    buildCacheChanged(change) {
      if (change.kind === 'deleted') cacheMetrics.forget(nameOf(change.object));
      triggers()?.buildCacheChanged(change);
    },
    claimChanged: (change) => triggers()?.claimChanged(change),
    btrfsNodeChanged: () => triggers()?.btrfsNodeChanged(),
  };
}

/**
 * Shows how full a volume is, or no longer shows the volume when there is nothing to tell; tells when one is mounted that was not,
 * as far as this process knows: its status may be the same as before a reboot.
 */
function usageListener(
  agentMetrics: AgentMetrics,
  caches: Pick<Caches, 'volumes'>,
  triggers: () => Pick<Triggers, 'volumeMounted' | 'volumeUsage'> | undefined,
): ReconcilerParts['onUsage'] {
  const mounted = new Set<string>();
  return (volume, usage) => {
    const { uid } = volume.metadata;
    // Of one that is gone a look may still have been under way.
    if (usage === undefined || caches.volumes.get(keyOf(volume))?.metadata.uid !== uid) {
      mounted.delete(uid);
      return agentMetrics.removeVolume(nameOf(volume));
    }
    agentMetrics.setVolume(nameOf(volume), usage);
    const { freeBytes, sizeBytes } = usage;
    if (freeBytes !== undefined && sizeBytes !== undefined) {
      triggers()?.volumeUsage(volume, (freeBytes / sizeBytes) * 100);
    }
    if (mounted.has(uid)) return;
    mounted.add(uid);
    triggers()?.volumeMounted(volume);
  };
}

/**
 * The controller takes the node for alive as long as its Lease is renewed. When that begins to work all is looked at: what failed
 * while the server was away waits for nothing else, and of what was called lost there is something to say.
 */
async function renewLease(
  { config, transport, log, caches, renewal }: ReconcilerParts,
  triggers: Triggers,
  signal: AbortSignal,
): Promise<void> {
  await runLeaseRenewal({
    transport,
    namespace: config.namespace,
    name: agentLeaseName(config.nodeName),
    identity: config.nodeName,
    durationSeconds: config.leaseSeconds,
    renewEveryMs: config.renewSeconds * 1000,
    owners() {
      const btrfsNode = caches.btrfsNodes.get(config.nodeName);
      return btrfsNode === undefined ? [] : [ownerReferenceOf(btrfsNode)];
    },
    log,
    onChange(failure) {
      renewal.changed(failure);
      if (renewal.isRenewed) triggers.enqueueAll();
    },
    signal,
  });
}

/** Until the next look at a device that something waits for. */
const SOON_MS = 1_000;

/** What no watch tells is looked at until the signal aborts; a look that fails is followed by the next. */
async function lookRegularly(
  { config, log, storage, caches, host, onUsage }: ReconcilerParts,
  triggers: Triggers,
  signal: AbortSignal,
): Promise<void> {
  const lookAtVolumes = createVolumeWatch({
    storage,
    volumes: () => caches.volumes.values(),
    clock: systemClock,
    usageIntervalMs: config.usageIntervalSeconds * 1000,
    enqueue: triggers.enqueueVolume,
    onUsage,
  });
  const intervalMs = config.watchIntervalSeconds * 1000;
  let isWaiting = false;
  const pause = () => systemClock.sleep(isWaiting ? Math.min(intervalMs, SOON_MS) : intervalMs, signal);
  for (await pause(); !signal.aborted; await pause()) {
    try {
      const { exportedBytes } = host;
      if (await host.refresh()) triggers.enqueueAll();
      else if (host.exportedBytes !== exportedBytes) triggers.nodeChanged();
      isWaiting = await lookAtVolumes();
    } catch (err) {
      log.warn({ err }, 'could not look at the node');
    }
  }
}
