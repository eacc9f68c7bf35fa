import { attempt } from '../context.ts';
import { treeLayout } from '../layout.ts';
import type { Tree } from '../tree.ts';
import { observeSnapshot, refuseMounted } from './snapshot.ts';

/**
 * Nothing of the Snapshot is left in its volume: subvolumes, unfinished work, record. Resumable at every step and safe to repeat;
 * the record goes last. Throws `in-use` while it is mounted. Says whether there was anything.
 */
export async function removeSnapshot(tree: Tree, uid: string): Promise<'removed' | 'was gone already'> {
  return await attempt('remove the Snapshot', async () => {
    await refuseMounted(tree, uid);
    const { writable, committed, staging } = await observeSnapshot(tree, uid);
    const there = [
      ...(writable === undefined ? [] : [treeLayout.writablePath(uid)]),
      ...(committed === undefined ? [] : [treeLayout.committedPath(uid)]),
      ...(staging === undefined ? [] : [treeLayout.stagingPath(uid)]),
    ];
    if (there.length > 0) await tree.removeSubvolumes(there);
    await tree.removeDirectory(treeLayout.snapshotPath(uid));
    // NOTE: this wakes the kernel's cleaner (BTRFS_IOC_SYNC); without it the space comes back with the next commit, up to 30 s later.
    if (there.length > 0) await tree.sync();
    return there.length === 0 ? 'was gone already' : 'removed';
  });
}
