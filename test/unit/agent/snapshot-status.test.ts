import { describe, expect, it } from 'vitest';
import type { Refusal } from '../../../src/agent/snapshots/decide.ts';
import { type Report, statusOf } from '../../../src/agent/snapshots/status.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import { MAX_ANCESTORS } from '../../../src/api/snapshot-status.ts';
import { condition, scheduled } from '../../builders/objects.ts';
import { childOf, seenOf, snapshotOf, snapshotReport, subvolumeOf } from '../../builders/snapshots.ts';

const writable = subvolumeOf('rw');
const committed = subvolumeOf('ro', { parentUUID: 'uuid-rw' });
const inUse: Refusal = { reason: 'InUse', message: 'it is mounted at /mnt', mendedBy: 'time' };

const conditionOf = (report: Partial<Report>, type: string) =>
  findCondition(statusOf(snapshotReport(report)).conditions, type);
const many = (count: number) =>
  Array.from({ length: count }, (_, index) => childOf('snap', { metadata: { name: `c${index + 10}` } }));

describe('statusOf: facts of a Snapshot', () => {
  it('D7 statusOf: a writable one is mounted by its id, a committed one read-only', () => {
    const { mount, path, subvolumeID, uuid } = statusOf(snapshotReport({ seen: seenOf({ writable }) }));
    expect({ mount, path, subvolumeID, uuid }).toEqual({
      mount: { device: '/dev/loop7', fsType: 'btrfs', options: ['subvolid=256'] },
      path: '/root/volumes/uid-vol/snapshots/uid-snap/rw',
      subvolumeID: 256,
      uuid: 'uuid-rw',
    });
    const view = statusOf(snapshotReport({ seen: seenOf({ committed }) }));
    expect(view.mount?.options).toEqual(['subvolid=257', 'ro']);
  });

  it('D10 statusOf: while both are there the committed one is shown', () => {
    const { uuid, subvolumeID, parentUUID } = statusOf(snapshotReport({ seen: seenOf({ writable, committed }) }));
    expect({ uuid, subvolumeID, parentUUID }).toEqual({ uuid: 'uuid-ro', subvolumeID: 257, parentUUID: 'uuid-rw' });
  });

  it('statusOf: what was there once keeps its uuid, but no path, when it is gone or the volume is not mounted', () => {
    const snapshot = snapshotOf({ status: { ...statusOf(snapshotReport({ seen: seenOf({ committed }) })) } });
    for (const seen of [seenOf(), undefined]) {
      const { uuid, path, mount } = statusOf(snapshotReport({ snapshot, seen, refusal: inUse }));
      expect({ uuid, path, mount }).toEqual({ uuid: 'uuid-ro', path: undefined, mount: undefined });
    }
  });

  it('D5 statusOf: ancestors are the parent and its ancestors, the nearest first; they stay when it is not known any more', () => {
    const parent = childOf('b', { metadata: { name: 'c' }, status: { ancestors: ['b', 'a'] } });
    const status = statusOf(snapshotReport({ parent, seen: seenOf({ committed }) }));
    expect(status.ancestors).toEqual(['c', 'b', 'a']);
    expect(statusOf(snapshotReport({ snapshot: snapshotOf({ status }) })).ancestors).toEqual(['c', 'b', 'a']);
    const names = Array.from({ length: MAX_ANCESTORS }, (_, index) => `n${index}`);
    const long = childOf('n0', { metadata: { name: 'top' }, status: { ancestors: names } });
    expect(statusOf(snapshotReport({ parent: long })).ancestors).toEqual(['top', ...names.slice(0, -1)]);
  });

  it('statusOf: a transfer of which the agent could not tell the end is done as soon as the subvolume is there', () => {
    const transfer = { phase: 'Receiving', incrementalFrom: 'uuid-base', bytes: 7, bytesPerSecond: 3 };
    const snapshot = snapshotOf({ status: { transfer } });
    expect(statusOf(snapshotReport({ snapshot, seen: seenOf() })).transfer).toEqual(transfer);
    const done = statusOf(snapshotReport({ snapshot, seen: seenOf({ committed }) }));
    expect(done.transfer).toEqual({ phase: 'Done', incrementalFrom: 'uuid-base' });
    const whole = { ...transfer, phase: 'Done' };
    const later = snapshotReport({
      snapshot: snapshotOf({ status: { transfer: whole } }),
      seen: seenOf({ committed }),
    });
    expect(statusOf(later).transfer).toEqual(whole);
  });

  it('statusOf: the part of the controller is not in what the agent writes', () => {
    const snapshot = snapshotOf({ status: { conditions: [scheduled()] } });
    const status = statusOf(snapshotReport({ snapshot }));
    expect(status.nodeName).toBeUndefined();
    expect(findCondition(status.conditions, 'Scheduled')).toBeUndefined();
  });
});

describe('statusOf: conditions of a Snapshot', () => {
  const wantsReadWrite = snapshotOf({ spec: { access: 'ReadWrite' } });
  const rows: readonly (readonly [
    title: string,
    report: Partial<Report>,
    type: string,
    verdict: string | undefined,
  ])[] = [
    ['D2 committed: Ready', { seen: seenOf({ committed }) }, 'Ready', 'True Ready'],
    ['D2 committed: Committed', { seen: seenOf({ committed }) }, 'Committed', 'True Committed'],
    ['D2 writable: Ready', { snapshot: wantsReadWrite, seen: seenOf({ writable }) }, 'Ready', 'True Ready'],
    ['D2 writable: Committed', { snapshot: wantsReadWrite, seen: seenOf({ writable }) }, 'Committed', 'False Writable'],
    ['D8 still writable: not Ready', { seen: seenOf({ writable }) }, 'Ready', 'False Committing'],
    ['nothing there: not Ready', {}, 'Ready', 'False Creating'],
    ['nothing there: no word about Committed', {}, 'Committed', undefined],
    ['in use: not Ready', { seen: seenOf({ writable }), refusal: inUse }, 'Ready', 'False InUse'],
    ['in use: said so', { seen: seenOf({ writable }), refusal: inUse }, 'InUse', 'True InUse'],
    ['in use: goes on by itself', { refusal: inUse }, 'Reconciling', 'True InUse'],
    ['in use: not stalled', { refusal: inUse }, 'Stalled', undefined],
    ['for a person: stalled', { refusal: { ...inUse, mendedBy: 'person' } }, 'Stalled', 'True InUse'],
    ['for a person: not reconciling', { refusal: { ...inUse, mendedBy: 'person' } }, 'Reconciling', undefined],
    ['at rest: neither', { seen: seenOf({ committed }) }, 'Reconciling', undefined],
    ['D12 children: said so', { children: many(2) }, 'HasChildren', 'True HasChildren'],
    ['D12 no children: no word', {}, 'HasChildren', undefined],
    ['nested subvolumes: said so', { nested: true }, 'NestedSubvolumes', 'True NestedSubvolumes'],
    ['none: no word', { nested: false }, 'NestedSubvolumes', undefined],
  ];
  it.each(rows)('%s', (_, report, type, verdict) => {
    const found = conditionOf(report, type);
    expect(found === undefined ? undefined : `${found.status} ${found.reason}`).toBe(verdict);
  });

  it('statusOf: what was said of nested subvolumes stays until something new is known', () => {
    const snapshot = snapshotOf({ status: { conditions: [condition('NestedSubvolumes', 'True')] } });
    expect(conditionOf({ snapshot, nested: undefined }, 'NestedSubvolumes')?.status).toBe('True');
    expect(conditionOf({ snapshot, nested: false }, 'NestedSubvolumes')).toBeUndefined();
  });

  it('D12 statusOf: names ten children and counts the rest', () => {
    const { conditions, childCount } = statusOf(snapshotReport({ children: many(12) }));
    expect(childCount).toBe(12);
    const message = findCondition(conditions, 'HasChildren')?.message;
    expect(message).toBe('c10, c11, c12, c13, c14, c15, c16, c17, c18, c19 and 2 more');
  });

  it('statusOf: the same again changes nothing, so that no pass feeds the next one', () => {
    const report = snapshotReport({ seen: seenOf({ committed }), children: many(1) });
    const first = statusOf(report);
    const later = new Date('2027-01-01T00:00:00Z');
    expect(statusOf({ ...report, snapshot: snapshotOf({ status: first }), now: later })).toEqual(first);
  });
});

it.each([
  [{ snapshotRef: { name: 'demo-1' } }, 'Snapshot demo-1'],
  [{ volume: {} }, 'data of the volume'],
  [{ stream: { file: 'full.btrfs' } }, 'stream full.btrfs'],
  [{ stream: { url: 'https://mirror.example/full.btrfs' } }, 'stream https://mirror.example/full.btrfs'],
  [{ stream: { url: `https://${'x'.repeat(2000)}` } }, `stream https://${'x'.repeat(255)}`],
  [{ empty: {} }, 'nothing'],
  [{ adopt: { uid: 'u1' } }, 'orphan u1'],
])('statusOf: says in words where the content of a Snapshot comes from (%#)', (source, words) => {
  const snapshot = snapshotOf({});
  expect(statusOf(snapshotReport({ snapshot: { ...snapshot, spec: { ...snapshot.spec, source } } })).source).toBe(
    words,
  );
});
