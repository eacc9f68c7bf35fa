import type { Logger } from 'pino';
import { agentLeaseName } from '../api/group.ts';
import { createLeaseObserver } from '../kube/lease.ts';
import { keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import type { Transport } from '../kube/transport.ts';
import type { Clock } from '../runtime/clock.ts';
import { createLiveness, type Liveness } from './nodes/liveness.ts';
import { type NodeState, nodeStateOf } from './nodes/node-state.ts';
import { type Commitments, createCommitments } from './volumes/commitments.ts';
import {
  createManagedClients,
  createWatchedClients,
  type ManagedClients,
  type PlacedName,
  type Watched,
  type WatchedClients,
  type WatchedName,
  watchedTypes,
} from './watched.ts';

type Reflectors = { readonly [Name in WatchedName]: Reflector<Watched[Name]> };

/** The cluster as this process sees it: what it watches, what follows from that, and clients for a look at the server itself. */
export interface Cluster extends Omit<Reflectors, 'leases'> {
  readonly commitments: Commitments;
  readonly liveness: Liveness;
  readonly clients: WatchedClients;
  readonly managed: ManagedClients;
  /** There are Nodes at all. */
  readonly hasNodes: boolean;
  nodeStateOf(nodeName: string): NodeState;
  /** As {@link nodeStateOf}, by what the server says now. */
  confirmNodeState(nodeName: string, signal: AbortSignal): Promise<NodeState>;
  /** Of the agents whose Leases are there. */
  leasedNodeNames(): string[];
  /** Objects whose data is on the node; of `undefined`: those that have no node yet. */
  objectsOn<Name extends PlacedName>(name: Name, nodeName: string | undefined): Watched[Name][];
  /** Resolves when every reflector holds all objects. */
  synced(signal: AbortSignal): Promise<void>;
  /** What is wrong with the reflectors, in a few words; `undefined` if nothing. */
  complaint(): string | undefined;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  readonly transport: Transport;
  /** Namespace of the agents' Leases. */
  readonly namespace: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Told of what changed, after the reflector and all that is derived from it have. */
  readonly onChange: <Name extends WatchedName>(name: Name, change: Change<Watched[Name]>) => void;
}

// Twice what a watch may be quiet before it is made anew.
const STALE_MS = 180_000;

/** Starts to fill the reflectors. */
export function startCluster(options: ClusterOptions): Cluster {
  const { transport, namespace, clock } = options;
  const clients = createWatchedClients(transport);
  const commitments = createCommitments();
  const reflectors = startReflectors(options, commitments);
  const { btrfsNodes, nodes, leases } = reflectors;
  const liveness = createLiveness({
    namespace,
    observer: createLeaseObserver({ clock }),
    clock,
    cached: (key) => leases.get(key),
    read: (key, signal) => clients.leases.get(key, { signal }),
  });
  const all = Object.entries(reflectors);
  const hasNodes = () => nodes.values()[Symbol.iterator]().next().done !== true;
  return {
    ...reflectors,
    get hasNodes() {
      return hasNodes();
    },
    commitments,
    liveness,
    clients,
    managed: createManagedClients(transport),
    nodeStateOf: (name) =>
      nodeStateOf({
        agent: liveness.stateOf(name),
        node: nodes.get(name),
        hasNodes: hasNodes(),
        btrfsNode: btrfsNodes.get(name),
      }),
    async confirmNodeState(name, signal) {
      const [agent, node, btrfsNode] = await Promise.all([
        liveness.confirm(name, signal),
        clients.nodes.get(name, { signal }),
        clients.btrfsNodes.get(name, { signal }),
      ]);
      return nodeStateOf({ agent, node, hasNodes: hasNodes(), btrfsNode });
    },
    leasedNodeNames: () =>
      [...leases.values()].flatMap(({ metadata, spec }) => {
        const name = spec?.holderIdentity ?? '';
        return metadata.name === agentLeaseName(name) ? [name] : [];
      }),
    objectsOn: <Name extends PlacedName>(name: Name, nodeName: string | undefined) =>
      [...(reflectors[name] as Reflector<Watched[Name]>).values()].filter(({ status }) => status.nodeName === nodeName),
    synced: async (signal) => void (await Promise.all(all.map(([, reflector]) => reflector.synced(signal)))),
    complaint() {
      const listing = all.filter(([, { hasSynced }]) => !hasSynced).map(([name]) => `${name} not listed yet`);
      const stale = all.filter(([, { idleMs }]) => idleMs > STALE_MS).map(([name]) => `watch of ${name} is silent`);
      return [...listing, ...stale].join(', ') || undefined;
    },
    stop: async () => void (await Promise.all(all.map(([, reflector]) => reflector.stop()))),
  };
}

function startReflectors(options: ClusterOptions, commitments: Commitments): Reflectors {
  const { transport, namespace, log, clock } = options;
  const start = <Name extends WatchedName>(
    name: Name,
    onChange = (change: Change<Watched[Name]>) => options.onChange(name, change),
    within?: string,
  ) => startReflector<Watched[Name]>({ transport, type: watchedTypes[name], namespace: within, log, clock, onChange });
  return {
    volumes: start('volumes', (change) => {
      const key = keyOf(change.object);
      try {
        if (change.kind === 'deleted') commitments.forget(key);
        else commitments.observe(key, change.object);
      } finally {
        options.onChange('volumes', change);
      }
    }),
    snapshots: start('snapshots'),
    caches: start('caches'),
    claims: start('claims'),
    btrfsNodes: start('btrfsNodes'),
    nodes: start('nodes'),
    leases: start('leases', undefined, namespace),
  };
}
