import { describe, expect, test } from 'vitest';
import type { ClaimReconcilerOptions } from '../../../src/agent/build-caches/options.ts';
import { keptGenerations } from '../../../src/agent/build-caches/prune.ts';
import { release } from '../../../src/agent/claims/release.ts';
import type { BuildCache, BuildCacheStatus } from '../../../src/api/build-cache.ts';
import type { ObjectMeta } from '../../../src/kube/object.ts';
import { createSharedLocks } from '../../../src/storage/shared-locks.ts';
import type { Tree } from '../../../src/storage/tree.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { cacheRecordOf, cacheSeenOf, claimRecordOf, cloneOf, generationOf } from '../../builders/cache-observations.ts';
import { clientWith } from '../../builders/clients.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const CACHE = '11111111-1111-4111-8111-111111111111';
const CLAIM = '22222222-2222-4222-8222-222222222222';
const RECORD = `claims/${CLAIM}/record.json`;
const inTree = ({ path }: { readonly path: string }) =>
  path.replace('.btrfs-operator/', '').replace('uid-cache', CACHE).replace('uid-claim', CLAIM);
const theCache = ({ metadata, ...parts }: Parts = {}) => cacheOf({ metadata: { uid: CACHE, ...metadata }, ...parts });

/** The volume of a cache with generations 1 to `newest`, and a claim whose clone, made of generation 3, has changed. */
function treeWith(newest: number) {
  const numbers = [...Array(newest).keys()].map((index) => index + 1);
  const generations = numbers.map((number) => generationOf(number).subvolume);
  // Changed after the first look: what has changed before that is asked of the volume itself, and there is none here.
  const clones = [cloneOf(), cloneOf({ generation: 99 })];
  const records = new Map<string, unknown>([
    [`caches/${CACHE}/record.json`, cacheRecordOf({ uid: CACHE, nextGeneration: newest + 1 })],
    [RECORD, claimRecordOf({ uid: CLAIM, cacheUid: CACHE })],
  ]);
  const published: string[] = [];
  const tree = {
    path: '/tree',
    sync: async () => undefined,
    list: async () => {
      const clone = clones.length > 1 ? clones.shift() : clones[0];
      return new Map([...generations, ...(clone === undefined ? [] : [clone])].map((each) => [inTree(each), each]));
    },
    readRecord: async (path: string) => JSON.stringify(records.get(path)),
    replaceRecord: async (path: string, record: unknown) => void records.set(path, record),
    hasNested: async () => {
      published.push('asked for what would be lost by publishing');
      return true;
    },
  };
  return { tree: tree as unknown as Tree, published, recordOf: (path: string) => records.get(path) };
}

interface Parts {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Partial<BuildCacheStatus>;
}

/** Releases a claim of a cache that the agent has as `cached`, and the API server as `onServer`. */
async function released(cached: Parts, onServer: Parts | undefined, newest = 3) {
  const { tree, published, recordOf } = treeWith(newest);
  const claim = claimOf({ metadata: { uid: CLAIM }, spec: { release: 'Publish' }, status: { baseGeneration: 3 } });
  const read: string[] = [];
  const options = {
    caches: new Map([['ns/cache', theCache(cached)]]),
    cacheClient: clientWith<BuildCache>({
      get: async (key) => {
        read.push(key);
        return onServer === undefined ? undefined : theCache(onServer);
      },
    }),
    locks: createSharedLocks(() => undefined),
    clock: new ManualClock(),
    metrics: { operationEnded: () => undefined },
  } as unknown as ClaimReconcilerOptions;
  const { outcome, reason } = await release(options, claim, tree);
  const remembered = recordOf(RECORD) as { released?: { reason: string } };
  return { outcome, reason, isPublishing: published.length > 0, read, remembered: remembered.released?.reason };
}

describe('release: a cache in the agent that lags behind the API server', () => {
  test.each<readonly [title: string, cached: Parts, onServer: Parts | undefined, newest: number, reason: string]>([
    ['it is pinned there', {}, { spec: { pinnedGeneration: 2 } }, 3, 'CachePinned'],
    ['it is reset there', {}, { spec: { resetToken: 'again' } }, 3, 'CacheReset'],
    ['it publishes nothing there', {}, { spec: { publishPolicy: 'Never' } }, 3, 'PublishPolicyNever'],
    ['it is being deleted there', {}, { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, 3, 'CacheDeleted'],
    ['it was made anew there', {}, { metadata: { uid: '33333333-3333-4333-8333-333333333333' } }, 3, 'CacheDeleted'],
    ['it is gone there', {}, undefined, 3, 'CacheDeleted'],
    [
      'it has a newer generation there, and the first writer wins',
      { spec: { publishPolicy: 'LastWriterWins' }, status: { currentGeneration: 3 } },
      { spec: { publishPolicy: 'FirstWriterWins' }, status: { currentGeneration: 4 } },
      4,
      'NewerGeneration',
    ],
  ])('F43 rule 8: nothing is published when %s', async (_, cached, onServer, newest, reason) => {
    const done = await released(cached, onServer, newest);
    expect(done).toMatchObject({ reason, isPublishing: false, read: ['ns/cache'], remembered: reason });
  });

  test('F43 rule 9: a newer generation is seen on the disk, whatever both say of it', async () => {
    const says = { status: { currentGeneration: 3 } };
    expect(await released(says, says, 4)).toMatchObject({ outcome: 'Superseded', isPublishing: false });
  });

  test('rule 8: the world of these tests publishes when nothing speaks against it', async () => {
    expect(await released({}, {})).toMatchObject({ isPublishing: true, read: ['ns/cache'] });
  });
});

test('F43 keptGenerations: what a clone was made of stays, whatever is written of its claim', async () => {
  const { tree } = treeWith(5);
  const seen = cacheSeenOf([1, 2, 3, 4, 5]);
  const cache = theCache();
  const patched = claimOf({ metadata: { uid: CLAIM }, status: { outcome: 'Discarded' } });
  const isKept = (await keptGenerations({ claims: new Map([['ns/claim', patched]]) }, cache, seen, tree))(cache);
  expect(seen.generations.filter(isKept).map(({ number }) => number)).toEqual([3, 5]);
});
