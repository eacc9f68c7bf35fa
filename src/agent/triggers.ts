import { findCondition } from '../api/conditions.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import type { PlacedStatus } from '../api/ownership.ts';
import type { Snapshot } from '../api/snapshot.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import type { CacheListener } from './caches.ts';
import type { Cached } from './snapshots/options.ts';
import { isCommitted, referenceKey, snapshotsIn, sourceKey } from './snapshots/relations.ts';

/** Many objects at once change what is summed up of them once. */
const SUM_DELAY_MS = 1_000;
const CHILDREN_DELAY_MS = 200;

export interface TriggerOptions {
  readonly nodeName: string;
  readonly caches: { readonly volumes: Cached<LoopbackVolume>; readonly snapshots: Cached<Snapshot> };
  readonly volumeQueue: Reconciler;
  readonly snapshotQueue: Reconciler;
  readonly nodeQueue: Reconciler;
}

export interface Triggers extends CacheListener {
  /** Everything in the caches is looked at, after what changes meanwhile. */
  enqueueAll(): void;
  /** What lives in a volume can be worked on. */
  volumeMounted(volume: LoopbackVolume): void;
  /** Something about the volume that no watch tells has changed. */
  enqueueVolume(key: string): void;
}

/** Which keys a change makes worth a pass. */
export function createTriggers(options: TriggerOptions): Triggers {
  const { nodeName, caches, volumeQueue, snapshotQueue, nodeQueue } = options;
  const enqueueSnapshotsOf = (volume: LoopbackVolume) => {
    for (const snapshot of snapshotsIn(volume, caches.snapshots)) snapshotQueue.enqueue(keyOf(snapshot));
  };
  return {
    volumeChanged(change) {
      const { kind, object } = change;
      if (kind !== 'updated' || readiness(object) !== readiness(change.previous)) enqueueSnapshotsOf(object);
      if (!asksForWork(change)) return;
      // What is being done for an older wish is not worth finishing.
      if (kind === 'updated') volumeQueue.interrupt(keyOf(object));
      else volumeQueue.enqueue(keyOf(object));
      nodeQueue.enqueue(nodeName, { afterMs: SUM_DELAY_MS });
    },
    snapshotChanged(change) {
      const { kind, object } = change;
      wakeRelated(options, change);
      if (!asksForWork(change)) return;
      if (kind === 'updated') snapshotQueue.interrupt(keyOf(object));
      else snapshotQueue.enqueue(keyOf(object));
    },
    btrfsNodeChanged: () => nodeQueue.enqueue(nodeName),
    volumeMounted: enqueueSnapshotsOf,
    enqueueVolume: (key) => volumeQueue.enqueue(key),
    enqueueAll() {
      nodeQueue.enqueue(nodeName);
      for (const volume of caches.volumes.values()) volumeQueue.enqueue(keyOf(volume), { priority: 'low' });
      for (const snapshot of caches.snapshots.values()) snapshotQueue.enqueue(keyOf(snapshot), { priority: 'low' });
    },
  };
}

/** Those that wait for a Snapshot, and those that count it. */
function wakeRelated({ caches, volumeQueue, snapshotQueue }: TriggerOptions, change: Change<Snapshot>): void {
  const { kind, object } = change;
  const parent = sourceKey(object);
  if (kind !== 'updated' && parent !== undefined) snapshotQueue.enqueue(parent, { afterMs: CHILDREN_DELAY_MS });
  if (kind === 'deleted')
    volumeQueue.enqueue(referenceKey(object, object.spec.volumeRef), { afterMs: CHILDREN_DELAY_MS });
  if (kind === 'updated' && isCommitted(object) === isCommitted(change.previous)) return;
  const key = keyOf(object);
  for (const other of caches.snapshots.values()) if (sourceKey(other) === key) snapshotQueue.enqueue(keyOf(other));
  for (const volume of caches.volumes.values()) if (sourceKey(volume) === key) volumeQueue.enqueue(keyOf(volume));
}

function readiness({ status }: LoopbackVolume): string {
  return [status.mountPath, findCondition(status.conditions, 'Ready')?.status].join();
}

/** A status that we wrote ourselves asks for nothing, nor do labels and annotations; the controller's NodeLost does. */
function asksForWork<T extends KubeObject & { readonly status: PlacedStatus }>(change: Change<T>): boolean {
  if (change.kind !== 'updated') return true;
  const { object, previous } = change;
  return (
    object.metadata.generation !== previous.metadata.generation ||
    object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp ||
    object.status.conditions?.some(({ reason }) => reason === 'NodeLost') === true
  );
}
