import { SNAPSHOT_FINALIZER } from '../../api/group.ts';
import { snapshotConditionTypes, snapshotReasons } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { KubeObject } from '../../kube/object.ts';
import { StorageError } from '../../storage/errors.ts';
import { removeExports } from '../../storage/exports.ts';
import { treeLayout } from '../../storage/layout.ts';
import { removeReceiving } from '../../storage/snapshots/receiving-mount.ts';
import { removeSnapshot } from '../../storage/snapshots/remove.ts';
import { removeFromVolume } from '../pass/in-volume.ts';
import type { RemovalKind, Removed } from '../pass/removal.ts';
import { waitsFor } from '../refusal.ts';
import type { Refusal } from './decide.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { dependentsOf, type Namesakes, referenceKey } from './relations.ts';
import { namesOf } from './status.ts';

/** What is particular when a Snapshot goes: what is to be made of it is made before, and its subvolume may be kept. */
export function snapshotRemoval(options: SnapshotReconcilerOptions): RemovalKind<Snapshot> {
  /** How many objects each one waited for when that was looked at last, by uid. */
  const counts = new Map<string, number>();
  return {
    finalizer: SNAPSHOT_FINALIZER,
    reasons: snapshotReasons,
    conditionTypes: snapshotConditionTypes,
    kept: ['Committed', 'NestedSubvolumes', 'Exported'],
    async blockers(snapshot) {
      const dependents = dependentsOf(snapshot, await namesakesOf(options, snapshot));
      counts.set(snapshot.metadata.uid, dependents.length);
      return refusalFor(dependents);
    },
    remove: (snapshot) => remove(options, snapshot),
    figures: (snapshot) => ({
      ...snapshot.status,
      childCount: counts.get(snapshot.metadata.uid) ?? snapshot.status.childCount,
    }),
    forget: ({ metadata }) => void counts.delete(metadata.uid),
  };
}

/** Asked of the API server: this agent has only what is on its own node. */
async function namesakesOf(
  { client, volumeClient, cacheClient }: SnapshotReconcilerOptions,
  { metadata: { namespace } }: Snapshot,
): Promise<Namesakes> {
  const within = namespace === undefined ? {} : { namespace };
  const [snapshots, volumes, caches] = await Promise.all([
    client.list(within),
    volumeClient.list(within),
    cacheClient.list(within),
  ]);
  return { snapshots, volumes, caches };
}

function refusalFor(dependents: readonly KubeObject[]): Refusal | undefined {
  if (dependents.length === 0) return undefined;
  const areGoing = dependents.every(({ metadata }) => metadata.deletionTimestamp !== undefined);
  const message = waitsFor('what is made of it', namesOf(dependents), areGoing);
  return { reason: 'HasChildren', message, mendedBy: areGoing ? 'time' : 'person' };
}

async function remove(options: SnapshotReconcilerOptions, snapshot: Snapshot): Promise<Removed> {
  if (snapshot.spec.deletionPolicy === 'Retain') {
    return { step: 'retained', reason: 'Retained', message: 'the subvolume stays in the volume' };
  }
  const step = await removeSubvolumes(options, snapshot);
  await removeExports(options.storage, snapshot.metadata.uid);
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
