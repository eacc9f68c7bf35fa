import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import type { Reconciler } from '../runtime/reconciler.ts';
import type { CacheListener } from './caches.ts';

/** Many volumes at once change what is committed once. */
const COMMITTED_DELAY_MS = 1_000;

export interface TriggerOptions {
  readonly nodeName: string;
  readonly volumes: () => Iterable<LoopbackVolume>;
  readonly volumeQueue: Reconciler;
  readonly nodeQueue: Reconciler;
}

export interface Triggers extends CacheListener {
  /** Everything in the caches is looked at, after what changes meanwhile. */
  enqueueAll(): void;
  /** Something about the volume that no watch tells has changed. */
  enqueueVolume(key: string): void;
}

/** Which keys a change makes worth a pass. */
export function createTriggers({ nodeName, volumes, volumeQueue, nodeQueue }: TriggerOptions): Triggers {
  return {
    volumeChanged(change) {
      if (!asksForWork(change)) return;
      const key = keyOf(change.object);
      // What is being done for an older wish is not worth finishing.
      if (change.kind === 'updated') volumeQueue.interrupt(key);
      else volumeQueue.enqueue(key);
      nodeQueue.enqueue(nodeName, { afterMs: COMMITTED_DELAY_MS });
    },
    btrfsNodeChanged: () => nodeQueue.enqueue(nodeName),
    enqueueVolume: (key) => volumeQueue.enqueue(key),
    enqueueAll() {
      nodeQueue.enqueue(nodeName);
      for (const volume of volumes()) volumeQueue.enqueue(keyOf(volume), { priority: 'low' });
    },
  };
}

/** A status that we wrote ourselves asks for nothing, nor do labels and annotations; the controller's NodeLost does. */
function asksForWork({ kind, object, previous }: Change<LoopbackVolume>): boolean {
  if (kind !== 'updated') return true;
  return (
    object.metadata.generation !== previous.metadata.generation ||
    object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp ||
    object.status.conditions?.some(({ reason }) => reason === 'NodeLost') === true
  );
}
