import type { Logger } from 'pino';
import { btrfsNodeType } from '../api/btrfs-node.ts';
import { buildCacheType } from '../api/build-cache.ts';
import { agentManager } from '../api/group.ts';
import { loopbackVolumeType } from '../api/loopback-volume.ts';
import { snapshotType } from '../api/snapshot.ts';
import type { AgentConfig } from '../config.ts';
import type { EventRecorder } from '../kube/events.ts';
import { createResourceClient, listPages } from '../kube/resource-client.ts';
import { namespaceType, nodeType, podType } from '../kube/resource-types.ts';
import type { Transport } from '../kube/transport.ts';
import type { AgentMetrics } from '../net/agent-metrics.ts';
import type { CacheMetrics } from '../net/cache-metrics.ts';
import type { Metrics } from '../net/metrics.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Places } from '../runtime/places.ts';
import { type Reconciler, startReconciler } from '../runtime/reconciler.ts';
import type { Storage } from '../storage/context.ts';
import { type Platform, readPlatform } from '../storage/platform.ts';
import { type StreamLimits, strictStreamLimits } from '../storage/streams/validate-stream.ts';
import type { Caches } from './caches.ts';
import { dependentsIn } from './dependents.ts';
import type { HostState } from './host-state.ts';
import { judge } from './judge.ts';
import type { OrphanWatch } from './node/orphans.ts';
import { createNodeReconcile, type NodeReconcilerOptions } from './node/reconcile.ts';
import { createOpenContent } from './outside-content.ts';
import { sharedAmongVolumes, volumeKeyIn } from './passes.ts';
import type { Renewal } from './renewal.ts';
import type { SaidByKind } from './said-by-kind.ts';
import { createSnapshotReconcile } from './snapshots/reconcile.ts';
import { createStatusWriter } from './status-writer.ts';
import type { TransferPort } from './transfer/port.ts';
import type { ContentOptions } from './volumes/content.ts';
import type { VolumeReconcilerOptions } from './volumes/options.ts';
import { createVolumeReconcile } from './volumes/reconcile.ts';
import { createPodsUsing } from './volumes/users.ts';

export interface ReconcilerParts {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly agentMetrics: AgentMetrics;
  readonly cacheMetrics: CacheMetrics;
  readonly transport: Transport;
  readonly storage: Storage;
  readonly caches: Caches;
  readonly host: HostState;
  readonly transfer: TransferPort;
  readonly events: EventRecorder;
  readonly orphans: OrphanWatch;
  readonly longPlaces: Places;
  readonly renewal: Renewal;
  readonly said: SaidByKind;
  readonly onUsage: VolumeReconcilerOptions['onUsage'];
}

/** Passes over Snapshots mostly wait, for the API server and for commands that many of them share. */
const SNAPSHOT_CONCURRENCY = 256;

/** The loop over the Snapshots of this node; does nothing until a key is enqueued. */
export function startSnapshotReconciler(parts: ReconcilerParts): Reconciler {
  const { config, log, metrics, transport, storage, caches, events, renewal, said } = parts;
  const { nodeName } = config;
  const client = createResourceClient(transport, snapshotType);
  const writer = createStatusWriter({
    client,
    fieldManager: agentManager(nodeName),
    renewal,
    said: said.snapshots,
  });
  const reconcile = createSnapshotReconcile({
    nodeName,
    storage,
    client,
    volumeClient: createResourceClient(transport, loopbackVolumeType),
    cacheClient: createResourceClient(transport, buildCacheType),
    snapshots: caches.snapshots,
    volumes: caches.volumes,
    writer,
    events,
    clock: systemClock,
    onOperation: parts.agentMetrics.operationEnded,
    podsUsing: createPodsUsing(createResourceClient(transport, podType), nodeName),
    btrfsNodes: createResourceClient(transport, btrfsNodeType),
    namespaces: createResourceClient(transport, namespaceType),
    room: parts.host.room,
    transfer: parts.transfer,
    longPlaces: parts.longPlaces,
    streamLimits: streamLimitsOf(config),
    openContent: createOpenContent({ storage, config }),
  });
  const hooks = metrics.reconcilerHooks('snapshot');
  return startReconciler({
    name: 'snapshot',
    ...sharedAmongVolumes(SNAPSHOT_CONCURRENCY, volumeKeyIn(caches.snapshots)),
    reconcile,
    judge,
    log,
    ...hooks,
  });
}

/** What streams from outside the node may hold; they may clone from their parent, as every increment with reflinks does. */
function streamLimitsOf({ streamAllowDeviceNodes, streamAllowSetuid }: AgentConfig): StreamLimits {
  return {
    ...strictStreamLimits,
    allowParentClones: true,
    allowDeviceNodes: streamAllowDeviceNodes === 'On',
    allowSetuid: streamAllowSetuid === 'On',
  };
}

/** The loop over the volumes of this node; does nothing until a key is enqueued. */
export function startVolumeReconciler(parts: ReconcilerParts): Reconciler {
  const { config, log, metrics, transport, storage, caches, host, events, onUsage, renewal, said } = parts;
  const { nodeName, concurrency } = config;
  const client = createResourceClient(transport, loopbackVolumeType);
  const writer = createStatusWriter({
    client,
    fieldManager: agentManager(nodeName),
    renewal,
    said: said.volumes,
  });
  const reconcile = createVolumeReconcile({
    nodeName,
    storage,
    client,
    cached: (key) => caches.volumes.get(key),
    dependentsIn: dependentsIn(caches),
    writer,
    events,
    clock: systemClock,
    onOperation: parts.agentMetrics.operationEnded,
    hostFacts: host.factsFor,
    podsUsing: createPodsUsing(createResourceClient(transport, podType), nodeName),
    content: contentOptionsOf(parts),
    namespaces: createResourceClient(transport, namespaceType),
    longPlaces: parts.longPlaces,
    onUsage,
  });
  const hooks = metrics.reconcilerHooks('loopbackvolume');
  return startReconciler({
    name: 'loopbackvolume',
    ...sharedAmongVolumes(concurrency, (key) => key),
    reconcile,
    judge,
    log,
    ...hooks,
  });
}

/** Where the content of new volumes comes from. */
function contentOptionsOf({ config, transport, storage, caches, transfer, host }: ReconcilerParts): ContentOptions {
  return {
    nodeName: config.nodeName,
    storage,
    snapshots: caches.snapshots,
    snapshotClient: createResourceClient(transport, snapshotType),
    volumes: caches.volumes,
    btrfsNodes: createResourceClient(transport, btrfsNodeType),
    transfer,
    openContent: createOpenContent({ storage, config }),
    streamLimits: streamLimitsOf(config),
    imageSources: config.imageSources,
    room: host.room,
  };
}

/** The loop over the one BtrfsNode of this node; does nothing until its name is enqueued. */
export function startNodeReconciler(parts: ReconcilerParts, onWritten: NodeReconcilerOptions['onWritten']): Reconciler {
  const { config, log, metrics, transport, storage, caches, host, transfer, renewal, said } = parts;
  const { nodeName } = config;
  const btrfsNodes = createResourceClient(transport, btrfsNodeType);
  const writer = createStatusWriter({
    client: btrfsNodes,
    fieldManager: agentManager(nodeName),
    renewal,
    said: said.btrfsNode,
  });
  // Kernel and tools stay while this process lives.
  let known: Platform | undefined;
  const platform = async () => {
    known ??= await readPlatform(storage);
    return known;
  };
  const reconcile = createNodeReconcile({
    nodeName,
    btrfsNodes,
    nodes: createResourceClient(transport, nodeType),
    hasNodes: async () => (await listPages(transport, nodeType, {}, 1).next()).value?.items.length !== 0,
    cached: (name) => caches.btrfsNodes.get(name),
    writer,
    clock: systemClock,
    facts: async ({ status }) => ({
      platform: await platform(),
      space: host.space,
      allocatableBytes: host.allocatableBytes,
      committedBytes: host.committedBytes(),
      exportedBytes: host.exportedBytes,
      pressure: host.pressure,
      transferEndpoint: transfer.endpoint,
      orphans: await parts.orphans.found(status.orphans ?? []),
    }),
    onWritten,
  });
  const hooks = metrics.reconcilerHooks('btrfsnode');
  return startReconciler({ name: 'btrfsnode', concurrency: 1, reconcile, judge, log, ...hooks });
}
