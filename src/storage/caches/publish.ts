import { snapshotSubvolume } from '../../host/subvolume.ts';
import { attempt } from '../context.ts';
import { treeLayout } from '../layout.ts';
import type { Tree } from '../tree.ts';
import type { Generation } from './cache.ts';
import { type CacheRecord, type ClaimRecord, cacheRecordPath } from './records.ts';

/** The generation that a claim has become; undefined if it is none. */
export function publishedBy(
  generations: readonly Generation[],
  { uid, cloneUUID }: Pick<ClaimRecord, 'uid'> & { readonly cloneUUID: string | undefined },
): Generation | undefined {
  return generations.find(
    ({ subvolume, origin }) =>
      (cloneUUID !== undefined && subvolume.parentUUID === cloneUUID) ||
      (origin?.from === 'Claim' && origin.uid === uid),
  );
}

/**
 * The clone is the newest generation of its cache, on disk: one atomic step puts it there under a number that no other ever
 * had. Returns the number. The caller holds the cache alone and has seen that the clone is no generation yet.
 */
export async function publishClone(
  tree: Tree,
  { cache, generations }: { readonly cache: CacheRecord; readonly generations: readonly Generation[] },
  claim: ClaimRecord,
): Promise<number> {
  return await attempt('publish the clone', async () => {
    const { uid } = cache;
    const there = new Set(generations.map(({ number }) => String(number)));
    const number = Math.max(cache.nextGeneration, (generations.at(-1)?.number ?? 0) + 1);
    const kept = Object.entries(cache.made).filter(([each]) => there.has(each));
    await tree.replaceRecord(cacheRecordPath(uid), {
      ...cache,
      nextGeneration: number + 1,
      made: {
        ...Object.fromEntries(kept),
        [number]: { from: 'Claim', name: claim.name, uid: claim.uid, at: new Date().toISOString() },
      },
    } satisfies CacheRecord);
    await snapshotSubvolume(
      tree.run,
      `${tree.path}/${treeLayout.clonePath(claim.uid, 'ReadWrite')}`,
      `${tree.path}/${treeLayout.generationPath(uid, number)}`,
      'ReadOnly',
    );
    return number;
  });
}
