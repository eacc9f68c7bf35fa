import type { Owner } from '../../host/coreutils.ts';
import { snapshotSubvolume } from '../../host/subvolume.ts';
import { attempt } from '../context.ts';
import { treeLayout } from '../layout.ts';
import { makeStaged } from '../staged-subvolume.ts';
import { RECORD_NAME, type Tree } from '../tree.ts';
import type { TreeIdentity } from './snapshot.ts';

export interface NewSnapshot {
  /** Path in the tree of the subvolume to take it of; undefined for an empty one. */
  readonly sourcePath: string | undefined;
  readonly access: 'ReadOnly' | 'ReadWrite';
  /** Of the top directory; undefined: as in the source. */
  readonly owner?: Owner | undefined;
  /** Where it is made if it has to be changed first; a place of its own in staging if absent. */
  readonly stagingPath?: string;
}

const DEFAULT_OWNER: Owner = { uid: 0, gid: 0, mode: '0755' };

/**
 * The Snapshot is in its place with its record, whole and on disk. One atomic step puts it there; what a half-done run leaves
 * is in staging, and the next run removes it first. The caller has seen that there is nothing in its place.
 */
export async function createSnapshot(tree: Tree, identity: TreeIdentity, snapshot: NewSnapshot): Promise<void> {
  await attempt('make the Snapshot', async () => {
    const { uid } = identity;
    const { sourcePath, access } = snapshot;
    await tree.writeRecord(`${treeLayout.snapshotPath(uid)}/${RECORD_NAME}`, recordOf(identity));
    const placePath = placeOf(uid, access);
    if (sourcePath !== undefined && snapshot.owner === undefined) {
      await snapshotSubvolume(tree.run, at(tree, sourcePath), at(tree, placePath), access);
      return;
    }
    const { owner = DEFAULT_OWNER, stagingPath = treeLayout.stagingPath(uid) } = snapshot;
    await makeStaged(tree, { sourcePath, owner, stagingPath, placePath, access });
  });
}

/** What adoption goes by (with the files of the volume around it). */
function recordOf(identity: TreeIdentity) {
  return { schemaVersion: 1, kind: 'Snapshot', ...identity, createdAt: new Date().toISOString() };
}

function placeOf(uid: string, access: NewSnapshot['access']): string {
  return access === 'ReadOnly' ? treeLayout.committedPath(uid) : treeLayout.writablePath(uid);
}

function at(tree: Tree, path: string): string {
  return `${tree.path}/${path}`;
}
