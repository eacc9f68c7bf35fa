import { snapshotSubvolume } from '../../host/subvolume.ts';
import { attempt } from '../context.ts';
import { treeLayout } from '../layout.ts';
import type { Tree } from '../tree.ts';
import { observeSnapshot, refuseMounted } from './snapshot.ts';

/**
 * The Snapshot is read-only for ever: a read-only snapshot of the writable subvolume is in its place, and that is gone. An open
 * descriptor goes on writing into the old one (flipping the `ro` property would let it write into the committed one).
 * A crash leaves the writable one, or both: the committed one counts then. Throws `in-use` while it is mounted.
 */
export async function commitSnapshot(tree: Tree, uid: string): Promise<void> {
  await attempt('commit the Snapshot', async () => {
    await refuseMounted(tree, uid);
    const { committed } = await observeSnapshot(tree, uid);
    const path = (name: string) => `${tree.path}/${name}`;
    const writablePath = treeLayout.writablePath(uid);
    if (committed === undefined) {
      await snapshotSubvolume(tree.run, path(writablePath), path(treeLayout.committedPath(uid)), 'ReadOnly');
    }
    await tree.removeSubvolume(writablePath);
  });
}
