import { describe, expect, it } from 'vitest';
import type { Report } from '../../../src/agent/volumes/report.ts';
import { isUsageWorthWriting, statusOf } from '../../../src/agent/volumes/status.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import type { LoopbackVolumeStatus } from '../../../src/api/loopback-volume.ts';
import { scheduled } from '../../builders/objects.ts';
import {
  downSeen,
  FILESYSTEM_UUID,
  imageOf,
  mountedSeen,
  nothingSeen,
  recordOf,
  treeOf,
  UID,
} from '../../builders/observations.ts';
import { reportWith, usageWith, volumeWith } from '../../builders/reports.ts';
import { GIB, MIB, wishWith } from '../../builders/wishes.ts';

/** What the pass after this one would write if nothing but the clock had changed. */
function again(report: Report, written: LoopbackVolumeStatus): LoopbackVolumeStatus {
  return statusOf({ ...report, volume: volumeWith(written), now: new Date('2026-06-01T00:00:00Z') });
}

const failure = {
  reason: 'CommandFailed',
  message: 'could not grow the volume: exit code 1',
  mendedBy: 'time',
} as const;

describe('statusOf: nothing changes between two passes over the same world', () => {
  const rows: readonly (readonly [title: string, parts: Partial<Report>])[] = [
    ['a healthy volume', {}],
    ['an unmounted one', { wish: wishWith({ mounted: false }), seen: downSeen(), usage: undefined }],
    ['one that is not there', { seen: nothingSeen(), usage: undefined, failure: { ...failure, mendedBy: 'person' } }],
    ['one that can not be looked at', { seen: undefined, usage: undefined, failure }],
    ['one with a failed command', { failure }],
    ['a full one', { usage: usageWith({ freeBytes: MIB }) }],
    ['one on a full node', { hostPressure: 'less than 10 % of the node is free' }],
    ['a damaged one', { seen: mountedSeen({ tree: treeOf({ deviceErrors: { read: 3 } }) }) }],
    ['a read-only one', { seen: mountedSeen({ tree: treeOf({ readOnly: true }) }) }],
    ['a refused resize', { resizeRefusal: { ...failure, reason: 'NodeFull' } }],
    ['a half done resize', { seen: mountedSeen({ image: imageOf({ sizeBytes: 2 * GIB }) }) }],
  ];
  it.each(rows)('%s', (_, parts) => {
    const report = reportWith(parts);
    const first = statusOf(report);
    expect(again(report, first)).toEqual(first);
  });

  it('what has come of a source is remembered once the volume is whole, and not before', () => {
    const done = { phase: 'Done', bytes: MIB, updatedAt: '2026-01-01T12:00:00Z' };
    const first = statusOf(reportWith({ import: done }));
    expect(again(reportWith(), first).import).toEqual(done);
    const unfilled = { seen: downSeen({ record: recordOf({ initialized: false }) }), usage: undefined };
    const coming = statusOf(reportWith({ ...unfilled, import: { phase: 'Receiving', bytes: 5 } }));
    expect(again(reportWith({ ...unfilled, failure }), coming).import).toBeUndefined();
  });

  it('an exported file is shown with its path, and only while it is there', () => {
    const done = { sizeBytes: GIB, sha256: 'd', filesystemUUID: 'u', exportedAt: '2026-01-01T00:00:00.123Z' };
    const record = recordOf({ export: { namespaceUid: 'ns', file: 'base.img', done } });
    const seen = downSeen({ record, isExported: true });
    const file = `/root/exports/ns/${UID}/base.img`;
    expect(statusOf(reportWith({ seen })).export).toEqual({ ...done, file, exportedAt: '2026-01-01T00:00:00Z' });
    expect(statusOf(reportWith({ seen: { ...seen, isExported: false } })).export).toBeUndefined();
  });

  it('a small move of usage writes nothing', () => {
    const first = statusOf(reportWith());
    const usage = usageWith({ usedBytes: 9 * MIB, freeBytes: GIB - 9 * MIB });
    expect(again(reportWith({ usage }), first)).toEqual(first);
  });

  it('lastTransitionTime moves with the status of a condition only', () => {
    const first = statusOf(reportWith());
    const changed = again(reportWith({ usage: usageWith({ freeBytes: MIB }) }), first);
    expect(findCondition(changed.conditions, 'CapacityPressure')?.lastTransitionTime).toBe('2026-06-01T00:00:00Z');
    expect(findCondition(changed.conditions, 'Ready')?.lastTransitionTime).toBe('2026-01-01T12:00:00Z');
  });
});

describe('statusOf: figures', () => {
  it('A9 A11 A20 tells what the kernel says of a mounted volume', () => {
    expect(statusOf(reportWith())).toMatchObject({
      observedGeneration: 3,
      sizeBytes: GIB,
      usedBytes: MIB,
      freeBytes: GIB - MIB,
      hostBytes: MIB,
      filesystemUUID: FILESYSTEM_UUID,
      loopDevice: '/dev/loop7',
      imagePath: `/root/images/${UID}.img`,
      mountPath: `/root/volumes/${UID}`,
      compression: 'zstd:3',
      sectorSize: 4096,
      directIO: true,
    });
  });

  it('A20 tells the size that the filesystem has, not the one that is on its way', () => {
    const seen = mountedSeen({ record: recordOf({ sizeBytes: GIB / 2 }) });
    expect(statusOf(reportWith({ seen })).sizeBytes).toBe(GIB);
  });

  it('A14 an unmounted volume has no mount path, device, options and usage', () => {
    const previous = statusOf(reportWith());
    const status = again(
      reportWith({ wish: wishWith({ mounted: false }), seen: downSeen(), usage: undefined }),
      previous,
    );
    const { conditions: _, ...figures } = status;
    expect(Object.keys(figures).sort()).toEqual([
      'filesystemUUID',
      'hostBytes',
      'imagePath',
      'observedGeneration',
      'sizeBytes',
    ]);
  });

  it('C2 remembers the filesystem of a volume whose files are gone', () => {
    const status = again(reportWith({ seen: nothingSeen(), usage: undefined, failure }), statusOf(reportWith()));
    expect(status.filesystemUUID).toBe(FILESYSTEM_UUID);
    expect(status.imagePath).toBeUndefined();
  });

  it('a filesystem that was never finished is not remembered', () => {
    const seen = downSeen({ record: recordOf({ initialized: false }) });
    expect(statusOf(reportWith({ seen, usage: undefined, failure })).filesystemUUID).toBeUndefined();
  });

  it('keeps the figures of a volume that can not be looked at', () => {
    const { conditions: _, ...before } = statusOf(reportWith());
    const { conditions: __, ...after } = again(reportWith({ seen: undefined, usage: undefined, failure }), before);
    expect(after).toEqual(before);
  });

  it("leaves the controller's part to the controller", () => {
    const volume = volumeWith({ nodeName: 'node-a', conditions: [scheduled(3)] });
    const status = statusOf(reportWith({ volume }));
    expect(status.nodeName).toBeUndefined();
    expect(findCondition(status.conditions, 'Scheduled')).toBeUndefined();
  });
});

describe('usage is written in steps', () => {
  const written = statusOf(reportWith({ usage: usageWith({ usedBytes: 100 * MIB, hostBytes: MIB }) }));
  const step = Math.ceil(GIB / 100);
  it.each([
    ['1 % more is used', { usedBytes: 100 * MIB + step, hostBytes: MIB }, true],
    ['1 % less is used', { usedBytes: 100 * MIB - step, hostBytes: MIB }, true],
    ['a byte less than 1 % more', { usedBytes: 100 * MIB + step - 2, hostBytes: MIB }, false],
    ['the image takes 1 % more of the node', { usedBytes: 100 * MIB, hostBytes: MIB + step }, true],
    ['the volume is almost full', { usedBytes: 100 * MIB, hostBytes: MIB, freeBytes: GIB / 10 - 1 }, true],
    ['a tenth is free', { usedBytes: 100 * MIB, hostBytes: MIB, freeBytes: Math.ceil(GIB / 10) }, false],
  ])('isUsageWorthWriting: %s: %#', (_, usage, worth) => {
    expect(isUsageWorthWriting(written, usageWith(usage))).toBe(worth);
  });

  it.each([
    ['a little more is free than pressure begins at', GIB * 0.12 - 1, false],
    ['enough is free again', Math.ceil(GIB * 0.12), true],
  ])('isUsageWorthWriting: %s', (_, freeBytes, worth) => {
    const full = statusOf(reportWith({ usage: usageWith({ freeBytes: MIB }) }));
    expect(isUsageWorthWriting(full, usageWith({ freeBytes }))).toBe(worth);
  });

  it('isUsageWorthWriting: errors of the device that the status does not tell of, and ones that were reset', () => {
    const errors = usageWith({ usedBytes: 100 * MIB, deviceErrors: { read: 0, corruption: 1 } });
    expect(isUsageWorthWriting(written, errors)).toBe(true);
    const seen = mountedSeen({ tree: treeOf({ deviceErrors: { corruption: 1 } }) });
    const told = statusOf(reportWith({ seen, usage: errors }));
    expect(isUsageWorthWriting(told, errors)).toBe(false);
    expect(isUsageWorthWriting(told, { ...errors, deviceErrors: { read: 0, corruption: 0 } })).toBe(true);
  });

  it('isUsageWorthWriting: what was written is not worth writing again', () => {
    const full = statusOf(reportWith({ usage: usageWith({ freeBytes: MIB }) }));
    expect(isUsageWorthWriting(full, usageWith({ freeBytes: MIB }))).toBe(false);
  });

  it('statusOf: one figure that moved brings the others along', () => {
    const usage = usageWith({ usedBytes: 200 * MIB, freeBytes: GIB - 201 * MIB });
    expect(again(reportWith({ usage }), written)).toMatchObject({ usedBytes: 200 * MIB, freeBytes: GIB - 201 * MIB });
  });
});
