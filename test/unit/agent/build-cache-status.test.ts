import { describe, expect, it } from 'vitest';
import { type Report, statusOf } from '../../../src/agent/build-caches/status.ts';
import { createTally } from '../../../src/agent/build-caches/tally.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { cacheSeenOf, generationOf } from '../../builders/cache-observations.ts';
import { condition, T0 } from '../../builders/objects.ts';

const NOW = new Date('2026-01-02T00:00:00Z');

const reportOf = (parts: Partial<Report> = {}): Report => ({
  cache: cacheOf({ metadata: { generation: 4 } }),
  seen: cacheSeenOf([1, 2]),
  refusal: undefined,
  pressure: undefined,
  claims: [],
  uncounted: { outcomes: {}, lastPublishedAt: undefined },
  now: NOW,
  ...parts,
});
const conditionsIn = (parts: Partial<Report>) =>
  (statusOf(reportOf(parts)).conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);

describe('statusOf: facts of a BuildCache', () => {
  it('B19 tells the newest generation, and each with its subvolume, what it was made of and when', () => {
    const status = statusOf(reportOf());
    expect(status).toMatchObject({ observedGeneration: 4, currentGeneration: 2 });
    expect(status.generations).toEqual([
      { generation: 1, subvolumeID: 301, uuid: 'uuid-1', from: 'Empty', createdAt: T0 },
      { generation: 2, subvolumeID: 302, uuid: 'uuid-2', from: 'job-2', createdAt: T0 },
    ]);
  });

  it('tells what is there also if nobody remembers what it was made of', () => {
    const { origin: _, ...generation } = generationOf(1);
    const { record } = cacheSeenOf([1]);
    const { generations } = statusOf(
      reportOf({ seen: { record, generations: [{ ...generation, origin: undefined }] } }),
    );
    expect(generations).toEqual([{ generation: 1, subvolumeID: 301, uuid: 'uuid-1' }]);
  });

  it('does not forget that there was one when it is gone, or when nobody could look', () => {
    const cache = cacheOf({ status: { currentGeneration: 7 } });
    expect(statusOf(reportOf({ cache, seen: cacheSeenOf([]) }))).toMatchObject({
      currentGeneration: 7,
      generations: [],
    });
    expect(statusOf(reportOf({ cache, seen: undefined }))).toMatchObject({ currentGeneration: 7 });
  });

  it('counts claims that hold a clone and were not released', () => {
    const claims = [
      claimOf(),
      claimOf({ status: { baseGeneration: 1 } }),
      claimOf({ status: { baseGeneration: 1 }, spec: { release: 'Publish' } }),
      claimOf({ status: { baseGeneration: 1, outcome: 'Discarded' } }),
    ];
    expect(statusOf(reportOf({ claims })).activeClaims).toBe(2);
  });

  it('adds outcomes to those that were counted before', () => {
    const cache = cacheOf({ status: { published: 2, discarded: 1 } });
    const uncounted = { outcomes: { Published: 1, Unchanged: 3 }, lastPublishedAt: NOW };
    expect(statusOf(reportOf({ cache, uncounted }))).toMatchObject({
      published: 3,
      superseded: 0,
      unchanged: 3,
      discarded: 1,
      lastPublishedAt: '2026-01-02T00:00:00Z',
    });
  });
});

describe('statusOf: conditions of a BuildCache', () => {
  const byTime = { reason: 'SourceNotFound', message: 'm', mendedBy: 'time' } as const;
  const byPerson = { reason: 'DataMissing', message: 'm', mendedBy: 'person' } as const;
  const rows: readonly (readonly [title: string, parts: Partial<Report>, conditions: readonly string[]])[] = [
    ['there', {}, ['Ready=True Ready']],
    ['being made', { seen: cacheSeenOf([]) }, ['Ready=False Creating']],
    ['waiting', { refusal: byTime }, ['Ready=False SourceNotFound', 'Reconciling=True SourceNotFound']],
    ['stuck', { refusal: byPerson }, ['Ready=False DataMissing', 'Stalled=True DataMissing']],
    ['full', { pressure: '3 % free' }, ['Ready=True Ready', 'CapacityPressure=True TooLittleFree']],
    [
      'full, not any more',
      { cache: cacheOf({ status: { conditions: [condition('CapacityPressure', 'True')] } }) },
      ['Ready=True Ready'],
    ],
  ];
  it.each(rows)('%s', (_, parts, conditions) => expect(conditionsIn(parts)).toEqual(conditions));
});

describe('createTally', () => {
  const at = (second: number) => new Date(1_000 * second);

  it('counts by cache and outcome, and remembers the last publish', () => {
    const tally = createTally();
    tally.add('a', 'Published', at(1));
    tally.add('a', 'Superseded', at(2));
    tally.add('a', 'Superseded', at(3));
    tally.add('b', 'Discarded', at(4));
    expect(tally.of('a')).toEqual({ outcomes: { Published: 1, Superseded: 2 }, lastPublishedAt: at(1) });
    expect(tally.of('b')).toEqual({ outcomes: { Discarded: 1 }, lastPublishedAt: undefined });
    expect(tally.of('c')).toEqual({ outcomes: {}, lastPublishedAt: undefined });
  });

  it('what came while a status was written is counted with the next', () => {
    const tally = createTally();
    tally.add('a', 'Published', at(1));
    const written = tally.of('a');
    tally.add('a', 'Published', at(2));
    tally.add('a', 'Unchanged', at(3));
    tally.counted('a', written);
    expect(tally.of('a')).toEqual({ outcomes: { Published: 1, Unchanged: 1 }, lastPublishedAt: at(2) });
    tally.counted('a', tally.of('a'));
    expect(tally.of('a')).toEqual({ outcomes: {}, lastPublishedAt: undefined });
  });

  it('a status that could not be written counts nothing', () => {
    const tally = createTally();
    tally.add('a', 'Discarded', at(1));
    tally.of('a');
    expect(tally.of('a').outcomes).toEqual({ Discarded: 1 });
  });
});
