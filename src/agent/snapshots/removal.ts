import { SNAPSHOT_FINALIZER } from '../../api/group.ts';
import { snapshotConditionTypes, snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import { removeReceiving } from '../../storage/snapshots/receiving-mount.ts';
import { removeSnapshot } from '../../storage/snapshots/remove.ts';
import { removeFromVolume } from '../pass/in-volume.ts';
import type { RemovalKind, Removed } from '../pass/removal.ts';
import type { Refusal } from './decide.ts';
import { removeAllExports } from './exports.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { childrenOf, referenceKey } from './relations.ts';
import { namesOf } from './status.ts';

/** What is particular when a Snapshot goes: its children go before, and its subvolume may be kept. */
export function snapshotRemoval(options: SnapshotReconcilerOptions): RemovalKind<Snapshot> {
  return {
    finalizer: SNAPSHOT_FINALIZER,
    reasons: snapshotReasons,
    conditionTypes: snapshotConditionTypes,
    kept: ['Committed', 'NestedSubvolumes', 'Exported'],
    blockers: async (snapshot) => blockersOf(options, snapshot),
    remove: (snapshot, signal) => remove(options, snapshot, signal),
    figures: (snapshot) => ({ ...snapshot.status, childCount: childrenOf(snapshot, options.snapshots).length }),
  };
}

function blockersOf({ snapshots }: SnapshotReconcilerOptions, snapshot: Snapshot): Refusal | undefined {
  const children = childrenOf(snapshot, snapshots);
  if (children.length === 0) return undefined;
  const areGoing = children.every(({ metadata }) => metadata.deletionTimestamp !== undefined);
  const message = `deletion waits for the Snapshots that are made of it; delete first: ${namesOf(children)}`;
  return { reason: 'HasChildren', message, mendedBy: areGoing ? 'time' : 'person' };
}

async function remove(options: SnapshotReconcilerOptions, snapshot: Snapshot, signal: AbortSignal): Promise<Removed> {
  if (snapshot.spec.deletionPolicy === 'Retain') {
    return { step: 'retained', reason: 'Retained', message: 'the subvolume stays in the volume' };
  }
  const step = await removeSubvolumes(options, snapshot);
  await removeAllExports(options, snapshot, signal);
  return { step, reason: 'Removed', message: 'nothing is left of the Snapshot on the node' };
}

async function removeSubvolumes(
  { storage, volumes, podsUsing }: SnapshotReconcilerOptions,
  snapshot: Snapshot,
): Promise<string> {
  const { uid } = snapshot.metadata;
  const volume = volumes.get(referenceKey(snapshot, snapshot.spec.volumeRef));
  if (volume !== undefined) {
    const pods = await podsUsing(`${storage.layout.volumePath(volume.metadata.uid)}/${treeLayout.snapshotPath(uid)}`);
    if (pods.length > 0) {
      throw new StorageError('in-use', `pods have it mounted: ${pods.join(', ')}; stop them`, { reason: 'InUse' });
    }
  }
  return await removeFromVolume(storage, volume, async (tree) => {
    // Left by a transfer that this process has not begun.
    await removeReceiving(storage, storage.layout.receivingPath(uid));
    return await removeSnapshot(tree, uid);
  });
}
