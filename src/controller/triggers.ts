import { isDeepStrictEqual } from 'node:util';
import type { BtrfsNode } from '../api/btrfs-node.ts';
import { findCondition } from '../api/conditions.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import type { Node } from '../kube/resource-types.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import type { Cluster } from './cluster.ts';
import type { PlacedObject } from './objects/placed-kind.ts';
import { committedBytesOf } from './volumes/commitments.ts';
import { type PlacedName, placedNames, type WatchedListeners } from './watched.ts';

/** One for each kind whose objects are on nodes, and one for the nodes. */
export type Reconcilers = { readonly [Name in PlacedName | 'btrfsNodes']: Reconciler };

export interface Triggers {
  /** Told of what changed. */
  readonly changed: WatchedListeners;
  /** Everything that is known is looked at, after what changes meanwhile. */
  enqueueAll(): void;
  /** The objects of a node, and the volumes that wait for one, are looked at. */
  nodeStateChanged(nodeName: string): void;
}

// Several changes in a row (nodes that start together, a namespace that is deleted) are one look at those that wait.
const WAKE_AFTER_MS = 100;

/** Which keys a change makes worth a look. */
export function createTriggers(cluster: Cluster, reconcilers: Reconcilers): Triggers {
  const nodes = reconcilers.btrfsNodes;
  const wake = createWakers(cluster, reconcilers);
  return {
    changed: createListeners(cluster, reconcilers, wake),
    enqueueAll() {
      for (const { metadata } of cluster.btrfsNodes.values()) nodes.enqueue(metadata.name, { priority: 'low' });
      for (const name of cluster.leasedNodeNames()) nodes.enqueue(name, { priority: 'low' });
      for (const name of placedNames) {
        for (const object of cluster[name].values()) {
          reconcilers[name].enqueue(keyOf(object), { priority: 'low' });
          const { nodeName } = object.status;
          if (nodeName !== undefined) nodes.enqueue(nodeName, { priority: 'low' });
        }
      }
    },
    nodeStateChanged(nodeName) {
      for (const name of placedNames) {
        for (const object of cluster.objectsOn(name, nodeName)) reconcilers[name].enqueue(keyOf(object));
      }
      wake.volumes();
    },
  };
}

/** Have those looked at that have no node yet. */
interface Wakers {
  readonly volumes: () => void;
  readonly thoseOfVolume: (volume: LoopbackVolume) => void;
  readonly claimsOf: (cache: KubeObject) => void;
}

function createWakers(cluster: Cluster, reconcilers: Reconcilers): Wakers {
  return {
    volumes() {
      for (const volume of cluster.objectsOn('volumes', undefined)) {
        reconcilers.volumes.enqueue(keyOf(volume), { afterMs: WAKE_AFTER_MS });
      }
    },
    thoseOfVolume(volume) {
      for (const name of ['snapshots', 'caches'] as const) {
        for (const object of cluster.objectsOn(name, undefined)) {
          if (isNamed(volume, object, object.spec.volumeRef)) reconcilers[name].enqueue(keyOf(object));
        }
      }
    },
    claimsOf(cache) {
      for (const claim of cluster.objectsOn('claims', undefined)) {
        if (isNamed(cache, claim, claim.spec.cacheRef)) reconcilers.claims.enqueue(keyOf(claim));
      }
    },
  };
}

function createListeners(cluster: Cluster, reconcilers: Reconcilers, wake: Wakers): WatchedListeners {
  const nodes = reconcilers.btrfsNodes;
  return {
    volumes(change) {
      const { kind, object, previous } = change;
      const { nodeName } = object.status;
      reconcilers.volumes.enqueue(keyOf(object));
      if (concernsFollowers(change)) wake.thoseOfVolume(object);
      if (nodeName === undefined) return;
      if (previous?.status.nodeName === undefined && kind !== 'deleted') nodes.enqueue(nodeName);
      if (kind === 'deleted' || freesCapacity(object, previous)) wake.volumes();
    },
    snapshots: ({ object }) => reconcilers.snapshots.enqueue(keyOf(object)),
    caches(change) {
      reconcilers.caches.enqueue(keyOf(change.object));
      if (concernsFollowers(change)) wake.claimsOf(change.object);
    },
    claims: ({ object }) => reconcilers.claims.enqueue(keyOf(object)),
    btrfsNodes({ kind, object, previous }) {
      nodes.enqueue(object.metadata.name);
      if (kind !== 'updated' || !isDeepStrictEqual(offerFacts(object), offerFacts(previous))) wake.volumes();
    },
    nodes({ kind, object, previous }) {
      if (kind !== 'updated') nodes.enqueue(object.metadata.name);
      if (kind !== 'updated' || !isDeepStrictEqual(nodeFacts(object), nodeFacts(previous))) wake.volumes();
    },
    leases({ object }) {
      const nodeName = cluster.liveness.leaseChanged(keyOf(object));
      if (nodeName !== undefined) nodes.enqueue(nodeName);
    },
  };
}

/** The reference in the object means this one. */
function isNamed({ metadata }: KubeObject, from: KubeObject, reference: { readonly name: string }): boolean {
  return reference.name === metadata.name && from.metadata.namespace === metadata.namespace;
}

/** Something that those see who wait for a place beside the object. */
function concernsFollowers({ kind, object, previous }: Change<PlacedObject>): boolean {
  if (kind !== 'updated') return true;
  const isLeaving = ({ metadata }: PlacedObject) => metadata.deletionTimestamp !== undefined;
  return object.status.nodeName !== previous.status.nodeName || isLeaving(object) !== isLeaving(previous);
}

function freesCapacity(now: LoopbackVolume, before: LoopbackVolume | undefined): boolean {
  return before?.status.nodeName !== undefined && committedBytesOf(now) < committedBytesOf(before);
}

/** What placement reads of a Node; its heartbeats change all the time. */
function nodeFacts({ metadata, spec }: Node) {
  return [metadata.labels, spec?.unschedulable, spec?.taints];
}

/** What placement reads of a BtrfsNode; its usage figures change all the time. */
function offerFacts({ metadata, status }: BtrfsNode) {
  const conditions = ['Ready', 'KernelSupported', 'HostPressure'].map((type) => {
    const condition = findCondition(status.conditions, type);
    return [condition?.status, condition?.reason];
  });
  const orphans = status.orphans?.map(({ uid, name }) => [uid, name]);
  return [metadata.uid, metadata.deletionTimestamp, status.allocatableBytes, conditions, orphans];
}
