import { readFilesystemUsage } from '../../host/btrfs-usage.ts';
import { waitForCleaner } from '../../host/subvolume.ts';
import { attempt } from '../context.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import { mountPointsOf } from '../snapshots/snapshot.ts';
import type { Tree } from '../tree.ts';
import { type Generation, observeCache } from './cache.ts';

/** These generations are gone, but for those that something has mounted: they are returned. The caller holds the cache alone. */
export async function removeGenerations(
  tree: Tree,
  uid: string,
  generations: readonly Generation[],
): Promise<readonly Generation[]> {
  return await attempt('remove generations of the cache', async () => {
    const mounted = await mountPointsOf(tree, treeLayout.cachePath(uid));
    const isHeld = async ({ number }: Generation) =>
      mounted.length > 0 && (await mountPointsOf(tree, treeLayout.generationPath(uid, number))).length > 0;
    const held = await Promise.all(generations.map(isHeld));
    const going = generations.filter((_, index) => held[index] === false);
    if (going.length > 0) {
      await tree.removeSubvolumes(going.map(({ number }) => treeLayout.generationPath(uid, number)));
      await tree.sync();
    }
    return generations.filter((_, index) => held[index] === true);
  });
}

/** What the kernel has not let go by then somebody has open, or there is much of it. */
const CLEANER_TIMEOUT_MS = 1_000;
const CLEANER_TRIES = 3;

export interface FreeSpace {
  /** Share of the volume that is free, in percent of its size. */
  readonly percent: number;
  /** The space of all that was deleted is among it; false also if that was not asked. */
  readonly isReclaimed: boolean;
}

/** How much of the volume is free: `'now'`, or when the space of all that was deleted is free as well, if that is soon. */
export async function freeSpace(tree: Tree, when: 'now' | 'reclaimed'): Promise<FreeSpace> {
  return await attempt('read how full the volume is', async () => {
    let isReclaimed = false;
    for (let tries = 0; when === 'reclaimed' && !isReclaimed && tries < CLEANER_TRIES; tries++) {
      // What a file was open in is only found by the next turn of the cleaner: it is woken each time.
      await tree.sync();
      isReclaimed = await waitForCleaner(tree.run, tree.path, CLEANER_TIMEOUT_MS);
    }
    // What the cleaner let go counts as used until the transaction that it did that in is over.
    if (isReclaimed) await tree.sync();
    const { freeBytes, sizeBytes } = await readFilesystemUsage(tree.run, tree.path);
    return { percent: (freeBytes / sizeBytes) * 100, isReclaimed };
  });
}

/** Nothing of the cache is left in its volume; its claims keep their clones. Safe to repeat. Throws `in-use` while a generation is mounted. */
export async function removeCache(tree: Tree, uid: string): Promise<'removed' | 'was gone already'> {
  const { generations, record } = await observeCache(tree, uid);
  const held = await removeGenerations(tree, uid, generations);
  if (held.length > 0) {
    const numbers = held.map(({ number }) => number).join(', ');
    throw new StorageError('in-use', `something has generation ${numbers} of it mounted; unmount it there`, {
      reason: 'InUse',
    });
  }
  await attempt('remove the cache', async () => {
    await tree.removeSubvolume(treeLayout.stagingPath(uid));
    await tree.removeDirectory(treeLayout.cachePath(uid));
  });
  return generations.length === 0 && record === undefined ? 'was gone already' : 'removed';
}
