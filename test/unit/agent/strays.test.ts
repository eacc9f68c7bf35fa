import { describe, expect, it } from 'vitest';
import { removeStrays } from '../../../src/agent/build-caches/strays.ts';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { keyOf } from '../../../src/kube/object.ts';
import type { ListedSubvolume, Tree } from '../../../src/storage/tree.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';

const [cacheUid, claimUid] = ['00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000d'];
const cache = cacheOf({ metadata: { uid: cacheUid } });
const claim = (parts: Parameters<typeof claimOf>[0]) => claimOf({ ...parts, metadata: { uid: claimUid } });

/** What goes from a tree in which there is staging of these objects. */
async function removedFrom(stagedUids: readonly string[], claims: Map<string, BuildCacheClaim>) {
  const there = new Map(stagedUids.map((uid) => [`staging/${uid}`, {} as ListedSubvolume]));
  const removed: string[] = [];
  const tree = {
    path: '/nowhere/tree',
    deviceNumber: '0:0',
    list: async () => there,
    removeSubvolume: async (path: string) => void removed.push(path),
  } as Partial<Tree> as Tree;
  const options = { caches: new Map([[keyOf(cache), cache]]), claims };
  await removeStrays(options as Partial<Parameters<typeof removeStrays>[0]> as never, cache, tree);
  return removed;
}

describe('removeStrays: staging', () => {
  it.each([
    ['of the cache itself goes', [cacheUid], undefined, [`staging/${cacheUid}`]],
    ['of a claim that came while the volume was listed stays', [claimUid], undefined, []],
    ['of a claim that waits stays', [claimUid], claim({ status: { baseGeneration: 1 } }), []],
    [
      'of a claim whose release is being judged stays, whatever its status says',
      [claimUid],
      claim({ spec: { release: 'Publish' }, status: { baseGeneration: 1, outcome: 'Discarded' } }),
      [],
    ],
  ])('F16 removeStrays: that %s', async (_, staged, known, expected) => {
    expect(await removedFrom(staged, new Map(known === undefined ? [] : [[keyOf(known), known]]))).toEqual(expected);
  });
});
