import { ensureDirectory, type Owner } from '../host/coreutils.ts';
import { renameTo } from '../host/files.ts';
import { createSubvolume, snapshotSubvolume } from '../host/subvolume.ts';
import { treeLayout } from './layout.ts';
import { mountPointsOf } from './snapshots/snapshot.ts';
import type { Tree } from './tree.ts';

export interface StagedSubvolume {
  /** Path in the tree of the subvolume to take it of; undefined for an empty one. */
  readonly sourcePath: string | undefined;
  /** Of the top directory. */
  readonly owner: Owner;
  /** Where it is made; what an earlier run left there goes first. */
  readonly stagingPath: string;
  /** Where it is afterwards; the caller has seen that there is nothing. */
  readonly placePath: string;
  readonly access: 'ReadOnly' | 'ReadWrite';
}

/** A subvolume that has to be changed before anybody sees it is in its place, on disk. One atomic step puts it there. */
export async function makeStaged(tree: Tree, subvolume: StagedSubvolume): Promise<void> {
  const { sourcePath, owner, stagingPath, placePath, access } = subvolume;
  const at = (path: string) => `${tree.path}/${path}`;
  await tree.removeSubvolume(stagingPath);
  if (sourcePath === undefined) await createSubvolume(tree.run, at(stagingPath));
  else await snapshotSubvolume(tree.run, at(sourcePath), at(stagingPath), 'ReadWrite');
  await ensureDirectory(tree.run, at(stagingPath), owner);
  if (access === 'ReadWrite') {
    await renameTo(tree.run, at(stagingPath), at(placePath));
    await tree.sync();
    return;
  }
  await snapshotSubvolume(tree.run, at(stagingPath), at(placePath), access);
  await tree.removeSubvolume(stagingPath);
}

/**
 * What a broken run left in staging for this object is gone. Only who works for the object, or knows that it is gone, may ask for
 * that: to anybody else work under way looks the same. Returns what was done; what is mounted stays.
 */
export async function removeStaging(tree: Tree, uid: string): Promise<'removed' | 'was gone already' | 'in use'> {
  const path = treeLayout.stagingPath(uid);
  if (!(await tree.list()).has(path)) return 'was gone already';
  if ((await mountPointsOf(tree, path)).length > 0) return 'in use';
  await tree.removeSubvolume(path);
  return 'removed';
}
