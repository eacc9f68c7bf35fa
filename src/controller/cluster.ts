import type { Logger } from 'pino';
import { type BtrfsNode, btrfsNodeType } from '../api/btrfs-node.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../api/loopback-volume.ts';
import { type Snapshot, snapshotType } from '../api/snapshot.ts';
import { createLeaseObserver } from '../kube/lease.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import { createResourceClient, type ResourceClient } from '../kube/resource-client.ts';
import type { ResourceType } from '../kube/resource-type.ts';
import { type Lease, leaseType, type Node, nodeType } from '../kube/resource-types.ts';
import type { Transport } from '../kube/transport.ts';
import type { Clock } from '../runtime/clock.ts';
import { createLiveness, type Liveness } from './nodes/liveness.ts';
import { type NodeState, nodeStateOf } from './nodes/node-state.ts';
import { type Commitments, createCommitments } from './volumes/commitments.ts';

/** Told of what changed in the caches, after they and all that is derived from them have. */
export interface ClusterListener {
  readonly volumeChanged: (change: Change<LoopbackVolume>) => void;
  readonly snapshotChanged: (change: Change<Snapshot>) => void;
  readonly btrfsNodeChanged: (change: Change<BtrfsNode>) => void;
  readonly nodeChanged: (change: Change<Node>) => void;
  readonly leaseChanged: (change: Change<Lease>) => void;
}

export interface ClusterClients {
  readonly volumes: ResourceClient<LoopbackVolume>;
  readonly snapshots: ResourceClient<Snapshot>;
  readonly btrfsNodes: ResourceClient<BtrfsNode>;
  readonly nodes: ResourceClient<Node>;
  readonly leases: ResourceClient<Lease>;
}

/** The cluster as this process sees it: caches, what follows from them, and clients for a look at the server itself. */
export interface Cluster {
  readonly volumes: Reflector<LoopbackVolume>;
  readonly snapshots: Reflector<Snapshot>;
  readonly btrfsNodes: Reflector<BtrfsNode>;
  readonly nodes: Reflector<Node>;
  readonly commitments: Commitments;
  readonly liveness: Liveness;
  readonly clients: ClusterClients;
  nodeStateOf(nodeName: string): NodeState;
  /** As {@link nodeStateOf}, by what the server says now. */
  confirmNodeState(nodeName: string, signal: AbortSignal): Promise<NodeState>;
  /** Objects whose data is on the node. */
  volumesOn(nodeName: string): LoopbackVolume[];
  snapshotsOn(nodeName: string): Snapshot[];
  /** Resolves when every cache holds all objects. */
  synced(signal: AbortSignal): Promise<void>;
  /** What is wrong with the caches, in a few words; `undefined` if nothing. */
  complaint(): string | undefined;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  readonly transport: Transport;
  /** Namespace of the agents' Leases. */
  readonly namespace: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly listener: ClusterListener;
}

// Twice what a watch may be quiet before it is made anew.
const STALE_MS = 180_000;

/** Starts to fill the caches. */
export function startCluster({ transport, namespace, log, clock, listener }: ClusterOptions): Cluster {
  const start = <T extends KubeObject>(type: ResourceType<T>, onChange: (change: Change<T>) => void, within?: string) =>
    startReflector<T>({ transport, type, namespace: within, log, clock, onChange });
  const clients = createClients(transport);
  const commitments = createCommitments();
  const volumes = start<LoopbackVolume>(loopbackVolumeType, (change) => {
    const key = keyOf(change.object);
    if (change.kind === 'deleted') commitments.forget(key);
    else commitments.observe(key, change.object);
    listener.volumeChanged(change);
  });
  const snapshots = start<Snapshot>(snapshotType, listener.snapshotChanged);
  const btrfsNodes = start<BtrfsNode>(btrfsNodeType, listener.btrfsNodeChanged);
  const nodes = start(nodeType, listener.nodeChanged);
  const leases = start(leaseType, listener.leaseChanged, namespace);
  const liveness = createLiveness({
    namespace,
    observer: createLeaseObserver({ clock }),
    clock,
    cached: (key) => leases.get(key),
    read: (key, signal) => clients.leases.get(key, { signal }),
  });
  const caches = Object.entries({ volumes, snapshots, btrfsNodes, nodes, leases });
  return {
    volumes,
    snapshots,
    btrfsNodes,
    nodes,
    commitments,
    liveness,
    clients,
    nodeStateOf: (name) =>
      nodeStateOf({ agent: liveness.stateOf(name), node: nodes.get(name), btrfsNode: btrfsNodes.get(name) }),
    async confirmNodeState(name, signal) {
      const [agent, node, btrfsNode] = await Promise.all([
        liveness.confirm(name, signal),
        clients.nodes.get(name, { signal }),
        clients.btrfsNodes.get(name, { signal }),
      ]);
      return nodeStateOf({ agent, node, btrfsNode });
    },
    volumesOn: (name) => [...volumes.values()].filter(({ status }) => status.nodeName === name),
    snapshotsOn: (name) => [...snapshots.values()].filter(({ status }) => status.nodeName === name),
    synced: async (signal) => void (await Promise.all(caches.map(([, cache]) => cache.synced(signal)))),
    complaint() {
      const listing = caches.filter(([, cache]) => !cache.hasSynced).map(([name]) => `${name} not listed yet`);
      const stale = caches.filter(([, cache]) => cache.idleMs > STALE_MS).map(([name]) => `watch of ${name} is silent`);
      return [...listing, ...stale].join(', ') || undefined;
    },
    stop: async () => void (await Promise.all(caches.map(([, cache]) => cache.stop()))),
  };
}

function createClients(transport: Transport): ClusterClients {
  return {
    volumes: createResourceClient<LoopbackVolume>(transport, loopbackVolumeType),
    snapshots: createResourceClient<Snapshot>(transport, snapshotType),
    btrfsNodes: createResourceClient<BtrfsNode>(transport, btrfsNodeType),
    nodes: createResourceClient(transport, nodeType),
    leases: createResourceClient(transport, leaseType),
  };
}
