import { describe, expect, it } from 'vitest';
import { decide as decideCache } from '../../../src/agent/build-caches/decide.ts';
import { decide as decideClaim } from '../../../src/agent/claims/decide.ts';
import type { CacheObservation } from '../../../src/storage/caches/cache.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { cacheSeenOf, claimRecordOf, claimSeenOf } from '../../builders/cache-observations.ts';

const nothing: CacheObservation = { record: undefined, generations: [] };
const reset = { firstGeneration: 4, nextGeneration: 5, resetToken: 'new' };

interface CacheCase {
  readonly spec?: Record<string, unknown>;
  readonly current?: number;
  readonly seen?: CacheObservation;
  /** Numbers that must not go. */
  readonly kept?: readonly number[];
}

/** The action, and what it is about: generations to prune, or the reason of a refusal. */
function cacheAction({ spec = {}, current, seen = nothing, kept = [] }: CacheCase): string {
  const cache = cacheOf({ spec, status: current === undefined ? {} : { currentGeneration: current } });
  const action = decideCache(cache, seen, ({ number }) => kept.includes(number));
  if (action.kind === 'prune') return `prune ${action.generations.map(({ number }) => number).join(' ')}`;
  return action.kind === 'refuse' ? action.refusal.reason : action.kind;
}

describe('decide: the next step of a BuildCache', () => {
  const rows: readonly (readonly [title: string, each: CacheCase, action: string])[] = [
    ['B14 nothing is there: begin', {}, 'begin'],
    ['B14 a torn record, and nobody was told: begin again', { seen: { ...nothing, record: 'damaged' } }, 'begin'],
    ['B14 begun: the first generation', { seen: cacheSeenOf([], { nextGeneration: 2 }) }, 'make-first'],
    ['it is there: rest', { seen: cacheSeenOf([1]), current: 1 }, 'rest'],
    ['B18 published, the status does not know it yet: rest', { seen: cacheSeenOf([1, 2]), current: 1 }, 'rest'],
    ['B21 a new reset token: reset', { seen: cacheSeenOf([3]), spec: { resetToken: 'new' }, current: 3 }, 'reset'],
    [
      'B21 reset: the empty generation',
      { seen: cacheSeenOf([3], reset), spec: { resetToken: 'new' }, current: 3 },
      'make-first',
    ],
    [
      'B21 reset: those of before go',
      { seen: cacheSeenOf([2, 3, 4], reset), spec: { resetToken: 'new' } },
      'prune 2 3',
    ],
    [
      'B21 but not from under a claim',
      { seen: cacheSeenOf([2, 3, 4], reset), spec: { resetToken: 'new' }, kept: [3] },
      'prune 2',
    ],
    ['keepGenerations: the oldest go', { seen: cacheSeenOf([1, 2, 3, 4, 5]) }, 'prune 1 2'],
    ['keepGenerations: not more than there are', { seen: cacheSeenOf([4, 5, 6]) }, 'rest'],
    ['keepGenerations 1', { seen: cacheSeenOf([4, 5, 6]), spec: { keepGenerations: 1 } }, 'prune 4 5'],
    ['keepGenerations: bases of claims stay', { seen: cacheSeenOf([1, 2, 3, 4]), kept: [1] }, 'rest'],
    ['a pinned one that is there: rest', { seen: cacheSeenOf([1, 2]), spec: { pinnedGeneration: 1 } }, 'rest'],
    [
      'a pinned one that is not there',
      { seen: cacheSeenOf([1, 2]), spec: { pinnedGeneration: 7 } },
      'GenerationNotFound',
    ],
  ];
  it.each(rows)('%s', (_, each, action) => expect(cacheAction(each)).toBe(action));
});

describe('decide: what of a BuildCache is never guessed', () => {
  const generations = cacheSeenOf([1, 2]).generations;
  const rows: readonly (readonly [title: string, each: CacheCase, action: string])[] = [
    ['all of it is gone', { current: 2 }, 'DataMissing'],
    [
      'the first is gone, somebody was told of it',
      { seen: cacheSeenOf([], { nextGeneration: 2 }), current: 1 },
      'DataMissing',
    ],
    ['more than one are gone, nobody was told', { seen: cacheSeenOf([], { nextGeneration: 4 }) }, 'DataMissing'],
    [
      'all since the reset are gone',
      { seen: cacheSeenOf([3], { ...reset, nextGeneration: 6 }), spec: { resetToken: 'new' } },
      'DataMissing',
    ],
    [
      'gone, but a new start is asked for',
      { seen: cacheSeenOf([], { nextGeneration: 4 }), spec: { resetToken: 'x' } },
      'reset',
    ],
    ['the record is damaged', { seen: { record: 'damaged', generations } }, 'RecordDamaged'],
    ['the record is gone, generations are there', { seen: { record: undefined, generations } }, 'RecordDamaged'],
    [
      'the record is damaged, generations are gone',
      { seen: { ...nothing, record: 'damaged' }, current: 2 },
      'RecordDamaged',
    ],
  ];
  it.each(rows)('%s', (_, each, action) => expect(cacheAction(each)).toBe(action));

  it('a pinned one that is not there: says which are', () => {
    const cache = cacheOf({ spec: { pinnedGeneration: 7 } });
    expect(decideCache(cache, cacheSeenOf([1, 2]), () => false)).toMatchObject({
      refusal: { message: 'there is no generation 7 (spec.pinnedGeneration); there are 1, 2', mendedBy: 'person' },
    });
  });
});

describe('decide: the next step of a BuildCacheClaim', () => {
  const told = { baseGeneration: 3 };
  const over = { ...told, outcome: 'Published' as const };
  const made = claimSeenOf(50);
  const none = claimSeenOf(undefined);
  const half = { clone: made.clone, record: undefined };
  const torn = claimSeenOf(50, 'damaged');
  const publish = { release: 'Publish' };
  const published = { outcome: 'Published', reason: 'Published', message: '', generation: 4 } as const;
  const judged = claimSeenOf(50, claimRecordOf({ released: published }));
  const rows: readonly (readonly [string, Parameters<typeof claimOf>[0], typeof made, string])[] = [
    ['B14 nothing is there: clone', {}, none, 'clone'],
    ['B2 half made: anew', {}, half, 'clone'],
    ['B2 its record torn: anew', {}, torn, 'clone'],
    ['made, the status does not know it yet: what was made is told', {}, made, 'clone'],
    ['B2 made: rest', { status: told }, made, 'rest'],
    ['released', { spec: publish, status: told }, made, 'release'],
    ['B21 released before there was a clone', { spec: publish }, none, 'release'],
    ['released, the clone gone', { spec: publish, status: told }, none, 'release'],
    ['B17 judged, as the record has it: the clone goes', { spec: publish, status: told }, judged, 'release'],
    ['B17 judged and gone: rest', { spec: publish, status: told }, { ...judged, clone: undefined }, 'rest'],
    ['judged by an agent of before, and gone: rest', { spec: publish, status: over }, none, 'rest'],
    ['F43 an outcome that nobody asked for is none', { status: over }, made, 'rest'],
    ['F43 an outcome without a clone that was told of is none', { status: { outcome: 'Discarded' } }, made, 'clone'],
    ['F43 an outcome in status is judged all the same', { spec: publish, status: over }, made, 'release'],
    ['F43 a release that is on disk is none that was asked for', { status: told }, judged, 'rest'],
    ['one that was there and is gone is not made anew', { status: told }, none, 'DataMissing'],
    ['its record is damaged', { status: told }, torn, 'RecordDamaged'],
    ['its record is gone', { status: told }, half, 'RecordDamaged'],
  ];
  it.each(rows)('%s', (_, parts, seen, expected) => {
    const action = decideClaim(claimOf(parts), seen);
    expect(action.kind === 'refuse' ? action.refusal.reason : action.kind).toBe(expected);
  });
});
