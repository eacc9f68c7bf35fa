import { ensureDirectory, type Owner } from '../../host/coreutils.ts';
import { makeDirectories } from '../../host/files.ts';
import { snapshotSubvolume } from '../../host/subvolume.ts';
import type { ListedSubvolume } from '../../host/subvolume-list.ts';
import { attempt } from '../context.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import { mountPointsOf, type TreeIdentity } from '../snapshots/snapshot.ts';
import { makeStaged } from '../staged-subvolume.ts';
import type { Tree } from '../tree.ts';
import type { Generation } from './cache.ts';
import { type ClaimRecord, claimRecordPath, type Recorded, type ReleaseRecord, readClaimRecord } from './records.ts';

/** What there is of one BuildCacheClaim in its volume, as the kernel has it. */
export interface ClaimObservation {
  readonly clone: ListedSubvolume | undefined;
  /** Without one a clone is half made: nobody was told of it. */
  readonly record: Recorded<ClaimRecord>;
  /** Something is in staging for it. */
  readonly isStaged?: true;
}

export async function observeClaim(tree: Tree, uid: string): Promise<ClaimObservation> {
  const [subvolumes, record] = await Promise.all([tree.list(), readClaimRecord(tree, uid)]);
  const clone =
    subvolumes.get(treeLayout.clonePath(uid, 'ReadWrite')) ?? subvolumes.get(treeLayout.clonePath(uid, 'ReadOnly'));
  const staged = subvolumes.has(treeLayout.stagingPath(uid)) ? ({ isStaged: true } as const) : {};
  if (clone === undefined || record === undefined || record === 'damaged') return { clone, record, ...staged };
  // What it says of changes it says of one subvolume, not of one that was put in its place.
  return { clone, record: record.cloneUUID === clone.uuid ? record : 'damaged', ...staged };
}

export interface NewClone {
  readonly cacheUid: string;
  readonly base: Generation;
  readonly access: 'ReadWrite' | 'ReadOnly';
  /** Of the top directory; undefined: as in the generation. */
  readonly owner: Owner | undefined;
}

/**
 * The claim has a clone of its own of a generation, with its record, on disk. What a half-done run left has no record and is made
 * anew. The caller shares the cache with others who clone, and keeps it from those who remove generations.
 */
export async function makeClone(
  tree: Tree,
  identity: TreeIdentity,
  { base, access, owner, cacheUid }: NewClone,
): Promise<ClaimObservation> {
  return await attempt('clone the cache', async () => {
    const { uid } = identity;
    const placePath = treeLayout.clonePath(uid, access);
    const at = (path: string) => `${tree.path}/${path}`;
    const sourcePath = treeLayout.generationPath(cacheUid, base.number);
    await makeDirectories(tree.run, [at(treeLayout.claimPath(uid))]);
    if (access === 'ReadOnly' && owner !== undefined) {
      await makeStaged(tree, { sourcePath, owner, stagingPath: treeLayout.stagingPath(uid), placePath, access });
    } else {
      await snapshotSubvolume(tree.run, at(sourcePath), at(placePath), access);
      if (owner !== undefined) await ensureDirectory(tree.run, at(placePath), owner);
    }
    // Its generation of btrfs is that of the last transaction: read after what we changed is in one.
    await tree.sync();
    const clone = (await tree.list()).get(placePath);
    if (clone === undefined) {
      throw new StorageError('failed', `the clone ${placePath} is not there after it was made`, {
        reason: 'CommandFailed',
      });
    }
    const record: ClaimRecord = {
      schemaVersion: 1,
      kind: 'BuildCacheClaim',
      ...identity,
      createdAt: new Date().toISOString(),
      cacheUid,
      baseGeneration: base.number,
      cloneUUID: clone.uuid,
      btrfsGeneration: clone.generation,
    };
    await tree.writeRecord(claimRecordPath(uid), record);
    return { clone, record };
  });
}

/** What becomes of the clone is on disk: no other judgement takes its place. */
export async function recordRelease(tree: Tree, record: ClaimRecord, released: ReleaseRecord): Promise<void> {
  await attempt('record the release', () =>
    tree.replaceRecord(claimRecordPath(record.uid), { ...record, released } satisfies ClaimRecord),
  );
}

/** The clone is gone; its record, with what has become of it, stays. Safe to repeat. Throws `in-use` while it is mounted. */
export async function removeClone(tree: Tree, uid: string): Promise<'removed' | 'was gone already'> {
  return await attempt('remove the clone', async () => {
    const mountPoints = await mountPointsOf(tree, treeLayout.claimPath(uid));
    if (mountPoints.length > 0) {
      throw new StorageError('in-use', `it is mounted at ${mountPoints.slice(0, 3).join(', ')}; unmount it there`, {
        reason: 'InUse',
      });
    }
    const subvolumes = await tree.list();
    const there = [
      treeLayout.clonePath(uid, 'ReadWrite'),
      treeLayout.clonePath(uid, 'ReadOnly'),
      treeLayout.stagingPath(uid),
    ].filter((path) => subvolumes.has(path));
    if (there.length === 0) return 'was gone already';
    await tree.removeSubvolumes(there);
    // NOTE: this wakes the kernel's cleaner (BTRFS_IOC_SYNC); without it the space comes back up to 30 s later.
    await tree.sync();
    return 'removed';
  });
}

/** Nothing of the claim is left in its volume: clone, then record. Safe to repeat. Throws `in-use` while it is mounted. */
export async function removeClaim(tree: Tree, uid: string): Promise<'removed' | 'was gone already'> {
  const step = await removeClone(tree, uid);
  await attempt('remove the claim', () => tree.removeDirectory(treeLayout.claimPath(uid)));
  return step;
}
