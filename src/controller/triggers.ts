import { isDeepStrictEqual } from 'node:util';
import type { BtrfsNode } from '../api/btrfs-node.ts';
import { findCondition } from '../api/conditions.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { keyOf } from '../kube/object.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import type { Cluster, ClusterListener } from './cluster.ts';
import { committedBytesOf } from './volumes/commitments.ts';

export interface TriggerOptions {
  readonly cluster: Cluster;
  readonly volumes: Reconciler;
  readonly snapshots: Reconciler;
  readonly nodes: Reconciler;
}

export interface Triggers extends ClusterListener {
  /** Everything in the caches is looked at, after what changes meanwhile. */
  enqueueAll(): void;
  /** The volumes of a node, and those that wait for one, are looked at. */
  nodeStateChanged(nodeName: string): void;
}

// Several changes in a row (nodes that start together, a namespace that is deleted) are one look at those that wait.
const WAKE_AFTER_MS = 100;

/** Which keys a change makes worth a look. */
export function createTriggers({ cluster, volumes, snapshots, nodes }: TriggerOptions): Triggers {
  const wakeUnplaced = () => {
    for (const volume of cluster.volumes.values()) {
      if (volume.status.nodeName === undefined) volumes.enqueue(keyOf(volume), { afterMs: WAKE_AFTER_MS });
    }
  };
  const wakeUnplacedSnapshots = ({ metadata }: LoopbackVolume) => {
    for (const snapshot of cluster.snapshots.values()) {
      const isOfVolume =
        snapshot.spec.volumeRef.name === metadata.name && snapshot.metadata.namespace === metadata.namespace;
      if (isOfVolume && snapshot.status.nodeName === undefined) snapshots.enqueue(keyOf(snapshot));
    }
  };
  return {
    volumeChanged({ kind, object, previous }) {
      volumes.enqueue(keyOf(object));
      const { nodeName } = object.status;
      if (kind !== 'updated' || nodeName !== previous.status.nodeName) wakeUnplacedSnapshots(object);
      if (nodeName === undefined) return;
      if (previous?.status.nodeName === undefined && kind !== 'deleted') nodes.enqueue(nodeName);
      if (kind === 'deleted' || freesCapacity(object, previous)) wakeUnplaced();
    },
    snapshotChanged: ({ object }) => snapshots.enqueue(keyOf(object)),
    btrfsNodeChanged({ kind, object, previous }) {
      nodes.enqueue(object.metadata.name);
      if (kind !== 'updated' || !isDeepStrictEqual(offerFacts(object), offerFacts(previous))) wakeUnplaced();
    },
    nodeChanged({ kind, object, previous }) {
      if (kind !== 'updated') nodes.enqueue(object.metadata.name);
      if (kind !== 'updated' || !isDeepStrictEqual(object.metadata.labels, previous.metadata.labels)) wakeUnplaced();
    },
    leaseChanged({ object }) {
      const nodeName = cluster.liveness.leaseChanged(keyOf(object));
      if (nodeName !== undefined) nodes.enqueue(nodeName);
    },
    enqueueAll() {
      for (const { metadata } of cluster.btrfsNodes.values()) nodes.enqueue(metadata.name, { priority: 'low' });
      for (const volume of cluster.volumes.values()) {
        volumes.enqueue(keyOf(volume), { priority: 'low' });
        const { nodeName } = volume.status;
        if (nodeName !== undefined) nodes.enqueue(nodeName, { priority: 'low' });
      }
      for (const snapshot of cluster.snapshots.values()) snapshots.enqueue(keyOf(snapshot), { priority: 'low' });
    },
    nodeStateChanged(nodeName) {
      for (const volume of cluster.volumesOn(nodeName)) volumes.enqueue(keyOf(volume));
      for (const snapshot of cluster.snapshotsOn(nodeName)) snapshots.enqueue(keyOf(snapshot));
      wakeUnplaced();
    },
  };
}

function freesCapacity(now: LoopbackVolume, before: LoopbackVolume | undefined): boolean {
  return before?.status.nodeName !== undefined && committedBytesOf(now) < committedBytesOf(before);
}

/** What placement reads of a BtrfsNode; its usage figures change all the time. */
function offerFacts({ metadata, status }: BtrfsNode) {
  const conditions = ['Ready', 'KernelSupported', 'HostPressure'].map((type) => {
    const condition = findCondition(status.conditions, type);
    return [condition?.status, condition?.reason];
  });
  return [metadata.uid, metadata.deletionTimestamp, status.allocatableBytes, conditions];
}
