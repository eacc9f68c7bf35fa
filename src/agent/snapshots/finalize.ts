import { isTrue } from '../../api/conditions.ts';
import { type SnapshotReason, snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import { removeReceiving } from '../../storage/snapshots/receiving-mount.ts';
import { removeSnapshot } from '../../storage/snapshots/remove.ts';
import { isAboutUsers, isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import type { Refusal } from './decide.ts';
import { removeAllExports } from './exports.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { childrenOf, referenceKey } from './relations.ts';
import { namesOf, removalStatusOf } from './status.ts';

/**
 * What the object asked for is gone from its volume, or kept if its deletionPolicy says so, and the status says that it is.
 * Resumable at every step. Nothing is destroyed on the word of a cache: the object is read anew first (rule 8).
 */
export async function finalize(
  options: SnapshotReconcilerOptions,
  cached: Snapshot,
  signal: AbortSignal,
): Promise<Outcome> {
  const { nodeName, client, events, writer } = options;
  const snapshot = await client.get(keyOf(cached), { signal });
  if (snapshot === undefined || snapshot.metadata.uid !== cached.metadata.uid) return settled;
  if (snapshot.metadata.deletionTimestamp === undefined || snapshot.status.nodeName !== nodeName) return settled;
  if (isTrue(snapshot.status.conditions, 'Removed')) return settled;

  const children = childrenOf(snapshot, options.snapshots);
  if (children.length > 0) {
    const message = `deletion waits for the Snapshots that are made of it: ${namesOf(children)}`;
    return await wait(options, snapshot, { reason: 'HasChildren', message, mendedBy: 'time' });
  }
  let step: string;
  try {
    step = await remove(options, snapshot);
    if (step !== 'retained') await removeAllExports(options, snapshot, signal);
  } catch (error) {
    if (signal.aborted) throw error;
    const outcome = await wait(options, snapshot, refusalOf(error, snapshotReasons));
    if (isRetried(error)) throw error;
    return outcome;
  }
  const [reason, message] =
    step === 'retained'
      ? (['Retained', 'the subvolume stays in the volume'] as const)
      : (['Removed', 'nothing is left of the Snapshot on the node'] as const);
  await report(options, snapshot, 'True', reason, message);
  events.record(snapshot, 'Normal', reason, 'Delete', message);
  writer.forget(keyOf(snapshot));
  return settledAfter(step);
}

async function remove({ storage, volumes, podsUsing }: SnapshotReconcilerOptions, snapshot: Snapshot): Promise<string> {
  const { uid } = snapshot.metadata;
  if (snapshot.spec.deletionPolicy === 'Retain') return 'retained';
  const volume = volumes.get(referenceKey(snapshot, snapshot.spec.volumeRef));
  // Its volume went before it, and with that all that was in it, or is kept as an orphan that nothing points to.
  if (volume === undefined) return 'gone with its volume';
  const path = `${storage.layout.volumePath(volume.metadata.uid)}/${treeLayout.snapshotPath(uid)}`;
  const pods = await podsUsing(path);
  if (pods.length > 0) {
    throw new StorageError('in-use', `pods have it mounted: ${pods.join(', ')}; stop them`, { reason: 'InUse' });
  }
  try {
    return await storage.withTree(volume.metadata.uid, async (tree) => {
      // Left by a transfer that this process has not begun.
      await removeReceiving(storage, storage.layout.receivingPath(uid));
      return await removeSnapshot(tree, uid);
    });
  } catch (error) {
    const isGoing = volume.metadata.deletionTimestamp !== undefined && volume.spec.deletionPolicy === 'Delete';
    if (isGoing && error instanceof StorageError && error.code === 'not-ready') return 'goes with its volume';
    throw error;
  }
}

async function wait(options: SnapshotReconcilerOptions, snapshot: Snapshot, refusal: Refusal): Promise<Outcome> {
  await report(options, snapshot, 'False', refusal.reason, refusal.message);
  options.events.record(snapshot, 'Warning', refusal.reason, 'Delete', refusal.message);
  return outcomeOf(isAboutUsers(refusal) ? refusal : { ...refusal, mendedBy: 'time' });
}

async function report(
  { writer, clock, snapshots }: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  status: 'True' | 'False',
  reason: SnapshotReason,
  message: string,
): Promise<void> {
  const children = childrenOf(snapshot, snapshots);
  await writer.write(snapshot, removalStatusOf(snapshot, [status, reason, message], children, clock.now()));
}
