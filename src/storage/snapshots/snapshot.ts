import { dirname } from 'node:path';
import { readMounts } from '../../host/mountinfo.ts';
import type { ListedSubvolume } from '../../host/subvolume-list.ts';
import { StorageError } from '../errors.ts';
import { RECEIVING_PREFIX, TREE_NAME, treeLayout } from '../layout.ts';
import type { Tree } from '../tree.ts';

/** What an object that lives in a volume is known by on the node. */
export interface TreeIdentity {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** What there is of one Snapshot in its volume, as the kernel has it. */
export interface SnapshotObservation {
  readonly writable: ListedSubvolume | undefined;
  readonly committed: ListedSubvolume | undefined;
  /** Unfinished work of an earlier run. */
  readonly staging: ListedSubvolume | undefined;
}

export async function observeSnapshot(tree: Tree, uid: string): Promise<SnapshotObservation> {
  const subvolumes = await tree.list();
  return {
    writable: subvolumes.get(treeLayout.writablePath(uid)),
    committed: subvolumes.get(treeLayout.committedPath(uid)),
    staging: subvolumes.get(treeLayout.stagingPath(uid)),
  };
}

/**
 * Mount points, in this mount namespace, of anything at or below a directory of the tree besides the tree itself. The agent's own places
 * beside the tree are no users: what is mounted there is its work, or was left by an agent that died.
 */
export async function mountPointsOf(tree: Tree, path: string): Promise<readonly string[]> {
  const root = `/${TREE_NAME}/${path}`;
  const ownPlaces = `${dirname(tree.path)}/${RECEIVING_PREFIX}`;
  return (await readMounts())
    .filter((mount) => mount.device === tree.deviceNumber)
    .filter((mount) => mount.root === root || mount.root.startsWith(`${root}/`))
    .filter((mount) => !mount.mountPoint.startsWith(ownPlaces))
    .map((mount) => mount.mountPoint);
}

/** Throws `in-use` while something has the Snapshot mounted. */
export async function refuseMounted(tree: Tree, uid: string): Promise<void> {
  const mountPoints = await mountPointsOf(tree, treeLayout.snapshotPath(uid));
  if (mountPoints.length === 0) return;
  throw new StorageError('in-use', `it is mounted at ${mountPoints.slice(0, 3).join(', ')}; unmount it there`, {
    reason: 'InUse',
  });
}
