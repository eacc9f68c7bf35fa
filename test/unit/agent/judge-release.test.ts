import { describe, expect, it } from 'vitest';
import { isReleased, judgeRelease, type ReleaseFacts } from '../../../src/agent/claims/judge-release.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { cacheSeenOf, claimRecordOf, claimSeenOf, generationOf } from '../../builders/cache-observations.ts';

const CHANGED = 51;
const base = { baseGeneration: 3 };
const deleted = { metadata: { deletionTimestamp: '2026-01-02T00:00:00Z' } };

/** A claim that started from generation 3, the newest, has changed its clone and is released to be published. */
function judge(facts: Partial<ReleaseFacts> = {}, claim: Parameters<typeof claimOf>[0] = {}) {
  return judgeRelease({
    claim: claimOf({ ...claim, spec: { release: 'Publish', ...claim?.spec }, status: { ...base, ...claim?.status } }),
    cache: cacheOf(),
    seen: claimSeenOf(CHANGED),
    cacheSeen: cacheSeenOf([1, 2, 3]),
    ...facts,
  });
}

describe('isReleased', () => {
  it.each([
    ['spec.release', claimOf({ spec: { release: 'Discard' } }), true],
    ['a deletion', claimOf(deleted), true],
    ['an outcome in status, which anybody may have written', claimOf({ status: { outcome: 'Discarded' } }), false],
    ['nothing', claimOf(), false],
  ])('F43 isReleased: by %s: %s', (_, claim, released) => expect(isReleased(claim)).toBe(released));
});

/** `publish`, `unknown`, or outcome, reason and generation of what was judged. */
function verdictOf(judgement: ReturnType<typeof judge>): string {
  if (judgement.kind !== 'judged') return judgement.kind;
  const { outcome, reason, generation } = judgement.release;
  return [outcome, reason, ...(generation === undefined ? [] : [generation])].join(' ');
}

type Row = readonly [title: string, judgement: ReturnType<typeof judge>, verdict: string];
const table = (rows: readonly Row[]) =>
  it.each(rows)('%s', (_, judgement, verdict) => expect(verdictOf(judgement)).toBe(verdict));

const newer = cacheSeenOf([2, 3, 4]);
const policy = (publishPolicy: string) => cacheOf({ spec: { publishPolicy } });
const discard = { spec: { release: 'Discard' } };
const without = { spec: { release: undefined } };

describe('judgeRelease: who publishes', () => {
  table([
    ['B17 the newest started from: it is published', judge(), 'publish'],
    ['B17 a newer one is there: superseded by it', judge({ cacheSeen: newer }), 'Superseded NewerGeneration 4'],
    [
      'B17 LastWriterWins: also after a newer one',
      judge({ cacheSeen: newer, cache: policy('LastWriterWins') }),
      'publish',
    ],
    ['Never: discarded', judge({ cache: policy('Never') }), 'Discarded PublishPolicyNever'],
    ['pinned: discarded', judge({ cache: cacheOf({ spec: { pinnedGeneration: 3 } }) }), 'Discarded CachePinned'],
    [
      'B19 a base that was pruned still compares',
      judge({ cacheSeen: cacheSeenOf([4]) }),
      'Superseded NewerGeneration 4',
    ],
    ['B19 the base is the newest though it is the only one', judge({ cacheSeen: cacheSeenOf([3]) }), 'publish'],
  ]);
});

describe('judgeRelease: what has not changed', () => {
  table([
    ['B20 the same btrfs generation: unchanged', judge({ seen: claimSeenOf(50) }), 'Unchanged Unchanged'],
    ['B20 a smaller one can only be the same', judge({ seen: claimSeenOf(49) }), 'Unchanged Unchanged'],
    ['B20 also after a newer one', judge({ seen: claimSeenOf(50), cacheSeen: newer }), 'Unchanged Unchanged'],
    [
      'B20 also if nothing may be published',
      judge({ seen: claimSeenOf(50), cache: policy('Never') }),
      'Unchanged Unchanged',
    ],
    ['ReadOnly: unchanged, whatever btrfs says', judge({}, { spec: { access: 'ReadOnly' } }), 'Unchanged ReadOnly'],
  ]);
});

const reset = { firstGeneration: 4, nextGeneration: 5, resetToken: 'again' };
const wanted = cacheOf({ spec: { resetToken: 'again' } });

describe('judgeRelease: what a cache that was reset or deleted takes', () => {
  table([
    [
      'B21 reset after the clone was made',
      judge({ cache: wanted, cacheSeen: cacheSeenOf([3, 4], reset) }),
      'Discarded CacheReset',
    ],
    [
      'B21 reset, the empty one not made yet',
      judge({ cache: wanted, cacheSeen: cacheSeenOf([3], reset) }),
      'Discarded CacheReset',
    ],
    ['B21 reset is asked for, nothing done yet', judge({ cache: wanted }), 'Discarded CacheReset'],
    [
      'B21 reset, and the last writer would win',
      judge({
        cache: cacheOf({ spec: { resetToken: 'again', publishPolicy: 'LastWriterWins' } }),
        cacheSeen: cacheSeenOf([3, 4], reset),
      }),
      'Discarded CacheReset',
    ],
    ['B21 the cache is gone', judge({ cache: undefined }), 'Discarded CacheDeleted'],
    [
      'B21 the cache is gone, nothing changed',
      judge({ cache: undefined, seen: claimSeenOf(50) }),
      'Discarded CacheDeleted',
    ],
    [
      'B21 another one of the same name',
      judge({ cache: cacheOf({ metadata: { uid: 'uid-new' } }) }),
      'Discarded CacheDeleted',
    ],
  ]);
});

describe('judgeRelease: what was asked for', () => {
  table([
    ['Discard', judge({}, discard), 'Discarded DiscardAsked'],
    ['no release, deleted', judge({}, { ...without, ...deleted }), 'Discarded NotReleased'],
    ['Discard without a clone', judge({ seen: claimSeenOf(undefined) }, discard), 'Discarded DiscardAsked'],
    ['B21 released, and deleted at once: still judged', judge({}, deleted), 'publish'],
  ]);
});

const isPublished = { record: cacheSeenOf([]).record, generations: [generationOf(4, { parentUUID: 'uuid-clone' })] };
const origin = { from: 'Claim', name: 'claim', uid: 'uid-claim', at: '2026-01-01T00:00:00.000Z' } as const;
const byOrigin = { ...isPublished, generations: [generationOf(4, { parentUUID: 'other', origin })] };
const later = {
  ...newer,
  generations: [...newer.generations, ...isPublished.generations.map((one) => ({ ...one, number: 5 }))],
};

describe('judgeRelease: one that is a generation already', () => {
  table([
    ['B18 a generation is a snapshot of its clone', judge({ cacheSeen: isPublished }), 'Published Published 4'],
    [
      'B18 the clone is gone: by the record of the cache',
      judge({ cacheSeen: byOrigin, seen: claimSeenOf(undefined) }),
      'Published Published 4',
    ],
    [
      'B18 the record of the claim is damaged',
      judge({ cacheSeen: isPublished, seen: claimSeenOf(CHANGED, 'damaged') }),
      'Published Published 4',
    ],
    ['B18 not superseded by itself', judge({ cacheSeen: later }), 'Published Published 5'],
    [
      'B21 also if the cache is being deleted',
      judge({ cacheSeen: isPublished, cache: undefined }),
      'Published Published 4',
    ],
  ]);
});

const unmade = { status: { baseGeneration: undefined } };
const nothing = claimSeenOf(undefined);
const half = { ...claimSeenOf(CHANGED), record: undefined };
const damagedCache = { ...newer, record: 'damaged' as const };

const superseded = { outcome: 'Superseded', reason: 'NewerGeneration', message: '', generation: 9 } as const;

describe('judgeRelease: what is not there, or not known', () => {
  table([
    ['never made', judge({ seen: nothing }, unmade), 'Discarded NeverMade'],
    ['half made: nobody was told of it', judge({ seen: half }, unmade), 'Discarded NeverMade'],
    [
      'F43 its record is damaged: whatever status says of a clone, nobody knows',
      judge({ seen: claimSeenOf(CHANGED, 'damaged') }, unmade),
      'unknown',
    ],
    [
      'F43 it was judged before: that stays, whatever has changed since',
      judge({ seen: claimSeenOf(CHANGED, claimRecordOf({ released: superseded })) }),
      'Superseded NewerGeneration 9',
    ],
    ['made, only the status lacks it', judge({}, unmade), 'publish'],
    ['the clone is gone', judge({ seen: nothing }), 'Discarded CloneMissing'],
    ['its record is damaged: nobody knows', judge({ seen: claimSeenOf(CHANGED, 'damaged') }), 'unknown'],
    ['its record is gone: nobody knows', judge({ seen: half }), 'unknown'],
    [
      'its record is damaged, it is deleted',
      judge({ seen: claimSeenOf(CHANGED, 'damaged') }, deleted),
      'Discarded RecordDamaged',
    ],
    ['the record of the cache is damaged: nobody knows', judge({ cacheSeen: damagedCache }), 'unknown'],
    ['the same, unchanged', judge({ cacheSeen: damagedCache, seen: claimSeenOf(50) }), 'Unchanged Unchanged'],
    ['the same, deleted', judge({ cacheSeen: damagedCache }, deleted), 'Discarded RecordDamaged'],
    [
      'all of the cache is gone by hand: nobody knows',
      judge({ cacheSeen: { record: undefined, generations: [] } }),
      'unknown',
    ],
  ]);
});

describe('judgeRelease: what it says', () => {
  it('B17 names the generation that was there before, who published it, and the base', () => {
    const judgement = judge({ cacheSeen: newer });
    expect(judgement).toMatchObject({
      release: { message: 'generation 4 (published by job-4) is newer than 3, from which this one started' },
    });
  });

  it('gives the records by which to publish', () => {
    expect(judge()).toEqual({ kind: 'publish', cache: cacheSeenOf([1, 2, 3]).record, claim: claimRecordOf() });
  });
});
