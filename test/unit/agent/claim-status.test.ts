import { describe, expect, it } from 'vitest';
import { publishedAs } from '../../../src/agent/claims/judge-release.ts';
import { type Report, statusOf } from '../../../src/agent/claims/status.ts';
import { conditionsOf, progressVerdicts } from '../../../src/agent/verdicts.ts';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import type { Tree } from '../../../src/storage/tree.ts';
import { claimOf } from '../../builders/build-caches.ts';
import { claimSeenOf } from '../../builders/cache-observations.ts';
import { condition, T0 } from '../../builders/objects.ts';

const NOW = new Date('2026-01-02T00:00:00Z');
const LATER = '2026-01-02T00:00:00Z';
const parts: Pick<Tree, 'path' | 'device'> = { path: '/root/volumes/uid-vol', device: '/dev/loop7' };
const tree = parts as Tree;
const there = { ...claimSeenOf(50), tree };
const gone = { ...claimSeenOf(undefined), tree };
const mount = { device: '/dev/loop7', fsType: 'btrfs', options: ['subvolid=400', 'noatime'] };
const place = { path: '/root/volumes/uid-vol/claims/uid-claim/rw', mount };
const inUse = { reason: 'InUse', message: 'pods', mendedBy: 'time' } as const;

const statusWith = (report: Partial<Report>) =>
  statusOf({ claim: claimOf(), seen: there, refusal: undefined, release: undefined, now: NOW, ...report });
const conditionsIn = (report: Partial<Report>) =>
  (statusWith(report).conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);

const ready = claimOf({ status: { baseGeneration: 3, ...place } });
const published = publishedAs(4, ready);
/** Judged, and the status says so. */
const judged: BuildCacheClaim = {
  ...claimOf({ spec: { release: 'Publish' } }),
  status: { ...statusWith({ claim: ready, release: published }), nodeName: 'node-a' },
};

describe('statusOf: facts of a BuildCacheClaim', () => {
  it('B15 tells the base, the directory and how to mount it', () => {
    expect(statusWith({})).toMatchObject({ baseGeneration: 3, ...place });
  });

  it('tells nothing of a clone that is half made', () => {
    const status = statusWith({ seen: { ...there, record: undefined } });
    expect(Object.keys(status).toSorted()).toEqual(['conditions', 'observedGeneration']);
  });

  it('keeps what it said when nobody could look', () => {
    expect(statusWith({ claim: ready, seen: undefined })).toMatchObject({ baseGeneration: 3, ...place });
  });

  it('B17 the outcome comes with reason and generation; the directory goes, the base stays', () => {
    const status = statusWith({ claim: ready, release: published });
    expect(status).toMatchObject({ outcome: 'Published', reason: 'Published', generation: 4, baseGeneration: 3 });
    expect([status.path, status.mount]).toEqual([undefined, undefined]);
  });

  it('B17 the outcome stays, whatever is seen afterwards', () => {
    for (const seen of [there, gone, undefined]) {
      const status = statusWith({ claim: judged, seen });
      expect(status).toMatchObject({ outcome: 'Published', generation: 4 });
      expect(status.path).toBeUndefined();
    }
  });
});

describe('statusOf: an outcome that somebody has written', () => {
  const forged = claimOf({
    status: {
      ...ready.status,
      outcome: 'Discarded',
      reason: 'Lies',
      generation: 9,
      conditions: [condition('Released', 'True')],
    },
  });

  it('F43 is not repeated of what nobody has released', () => {
    for (const seen of [there, undefined]) {
      const status = statusWith({ claim: forged, seen });
      expect(status).toMatchObject({ baseGeneration: 3, ...place });
      expect([status.outcome, status.reason, status.generation]).toEqual([undefined, undefined, undefined]);
    }
    expect(conditionsIn({ claim: forged })).toEqual(['Ready=True Ready']);
  });

  it('F43 gives way to what was judged', () => {
    const claim = claimOf({ status: forged.status, spec: { release: 'Publish' } });
    expect(statusWith({ claim, release: published })).toMatchObject({ outcome: 'Published', generation: 4 });
  });
});

describe('statusOf: conditions of a BuildCacheClaim', () => {
  const wait = { reason: 'CacheNotReady', message: 'm', mendedBy: 'time' } as const;
  const missing = { reason: 'DataMissing', message: 'm', mendedBy: 'person' } as const;
  const over = ['Ready=True Published', 'Released=True Published'];
  const rows: readonly (readonly [title: string, report: Partial<Report>, conditions: readonly string[]])[] = [
    ['there', {}, ['Ready=True Ready']],
    ['being made', { seen: gone }, ['Ready=False Cloning']],
    ['waiting', { seen: gone, refusal: wait }, ['Ready=False CacheNotReady', 'Reconciling=True CacheNotReady']],
    ['gone', { seen: gone, refusal: missing }, ['Ready=False DataMissing', 'Stalled=True DataMissing']],
    ['judged', { claim: ready, release: published }, over],
    ['judged, and gone', { claim: judged, seen: gone }, over],
    [
      'judged, still mounted',
      { claim: judged, refusal: inUse },
      [...over, 'InUse=True InUse', 'Reconciling=True InUse'],
    ],
  ];
  it.each(rows)('%s', (_, report, conditions) => expect(conditionsIn(report)).toEqual(conditions));
});

describe('conditionsOf', () => {
  const previous = [
    condition('Ready', 'True', { message: 'old' }),
    condition('InUse', 'True'),
    condition('Foreign', 'True'),
  ];
  const context = { previous, generation: 9, now: NOW };

  it('conditionsOf: in the order asked for; what is not asked for is left out', () => {
    const conditions = conditionsOf(
      [
        ['Removed', ['False', 'Why', 'm']],
        ['Ready', 'as before'],
      ],
      context,
    );
    expect(conditions.map(({ type }) => type)).toEqual(['Removed', 'Ready']);
  });

  it('conditionsOf: the time of the last change stays with what says the same, and moves with what does not', () => {
    const said = (status: 'True' | 'False') => conditionsOf([['Ready', [status, 'Why', 'new']]], context)[0];
    expect(said('True')).toMatchObject({ message: 'new', observedGeneration: 9, lastTransitionTime: T0 });
    expect(said('False')).toMatchObject({ lastTransitionTime: LATER });
  });

  it('conditionsOf: as before is as it was, generation and all, or absent', () => {
    expect(
      conditionsOf(
        [
          ['Ready', 'as before'],
          ['Removed', 'as before'],
        ],
        context,
      ),
    ).toEqual([previous[0]]);
  });

  it('conditionsOf: undefined takes it away', () => {
    expect(conditionsOf([['InUse', undefined]], context)).toEqual([]);
  });

  it.each([
    ['time', ['Reconciling']],
    ['person', ['Stalled']],
  ] as const)('progressVerdicts: mended by %s', (mendedBy, types) => {
    const shown = progressVerdicts({ reason: 'Why', message: 'm', mendedBy }).filter(
      ([, verdict]) => verdict !== undefined,
    );
    expect(shown.map(([type]) => type)).toEqual(types);
  });

  it('progressVerdicts: neither without a refusal', () => {
    expect(progressVerdicts(undefined).map(([, verdict]) => verdict)).toEqual([undefined, undefined]);
  });
});
