import type { Snapshot } from '../../api/snapshot.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import { commitSnapshot } from '../../storage/snapshots/commit.ts';
import type { SnapshotObservation } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import { timeOperation } from '../time-operation.ts';
import type { SnapshotReconcilerOptions } from './options.ts';

/** The writable Snapshot is read-only, for ever. Throws `in-use` while pods have it, and `conflict` if subvolumes lie in it. */
export async function commit(
  { podsUsing, clock, onOperation }: SnapshotReconcilerOptions,
  { metadata: { uid } }: Snapshot,
  { committed }: SnapshotObservation,
  tree: Tree,
  signal: AbortSignal,
): Promise<void> {
  const pods = await podsUsing(`${tree.path}/${treeLayout.snapshotPath(uid)}`);
  if (pods.length > 0) {
    const message = `it can't be committed while pods have it mounted: ${pods.join(', ')}; stop them`;
    throw new StorageError('in-use', message, { reason: 'InUse' });
  }
  if (committed === undefined && (await tree.hasNested(treeLayout.writablePath(uid)))) {
    const message = `subvolumes lie in it, which a committed Snapshot could not contain; delete them, or move their content (btrfs subvolume list -o on the node shows them)`;
    throw new StorageError('conflict', message, { reason: 'NestedSubvolumes' });
  }
  await timeOperation({ operation: 'commit', signal, clock }, onOperation, () => commitSnapshot(tree, uid));
}
