import { describe, expect, it } from 'vitest';
import { conditionsOf } from '../../../src/agent/volumes/conditions.ts';
import type { Report } from '../../../src/agent/volumes/report.ts';
import { progressOf } from '../../../src/agent/volumes/report.ts';
import { type Condition, findCondition } from '../../../src/api/conditions.ts';
import { loopbackVolumeConditionTypes, loopbackVolumeReasons } from '../../../src/api/reasons.ts';
import { downSeen, imageOf, mountedSeen, nothingSeen, recordOf, treeOf, UID } from '../../builders/observations.ts';
import { reportWith, usageWith } from '../../builders/reports.ts';
import { GIB, MIB, wishWith } from '../../builders/wishes.ts';

const time = { reason: 'CommandFailed', message: 'could not resize it: exit code 1', mendedBy: 'time' } as const;
const person = { reason: 'ForeignMount', message: 'ext4 is mounted there; unmount it', mendedBy: 'person' } as const;
const refused = { reason: 'BelowResizeLimit', message: 'set 256Mi or more', mendedBy: 'person' } as const;
const wait = { reason: 'NodeFull', message: 'the node has no room', mendedBy: 'time' } as const;
const at = new Date('2026-01-01T11:00:00Z');
const progress = progressOf('Minimize', 'Balancing', { sizeBytes: GIB, movedBytes: MIB }, { startedAt: at, now: at });
const down = { seen: downSeen(), usage: undefined };
const unmounted = { wish: wishWith({ mounted: false }) };
const minimize = { headroomBytes: 0, request: 'r1' };
const readOnly = { seen: mountedSeen({ tree: treeOf({ readOnly: true }) }) };
const half = { seen: mountedSeen({ record: recordOf({ resize: { fromBytes: GIB, toBytes: 2 * GIB } }) }) };
const small = { request: 'r1', generation: 1, sizeBytes: GIB };

const filling = downSeen({ record: recordOf({ initialized: false }) });
const tooSmall = { reason: 'SourceDoesNotFit', message: 'raise spec.size', mendedBy: 'person' } as const;
const exporting = { wish: wishWith({ mounted: false, exportFile: 'base.img' }) };
const done = { sizeBytes: GIB, sha256: 'd', filesystemUUID: 'u', exportedAt: '2026-01-01T00:00:00.000Z' };
const exported = {
  record: recordOf({ export: { namespaceUid: 'n', file: 'base.img', done } }),
  isExported: true,
};

interface Row {
  readonly title: string;
  readonly parts: Partial<Report>;
  /** `Type=Status/Reason` of every condition, in their order. */
  readonly conditions: string;
}

const fine = 'Ready=True/Ready Mounted=True/Mounted Resized=True/SizeReached CapacityPressure=False/EnoughSpace';
const rows: readonly Row[] = [
  { title: 'a healthy volume', parts: {}, conditions: fine },
  {
    title: 'A12 an unmounted one, as asked',
    parts: { ...unmounted, ...down },
    conditions: 'Ready=True/Unmounted Mounted=False/Unmounted Resized=True/SizeReached',
  },
  {
    title: 'C11 one that is being filled',
    parts: { seen: filling, usage: undefined, import: { phase: 'Receiving', bytes: 1 } },
    conditions: 'Ready=False/Filling Mounted=False/Mounting Reconciling=True/Filling',
  },
  {
    title: 'C11 one whose source does not fit',
    parts: { seen: filling, usage: undefined, failure: tooSmall },
    conditions: 'Ready=False/SourceDoesNotFit Mounted=False/SourceDoesNotFit Stalled=True/SourceDoesNotFit',
  },
  {
    title: 'one that is exported',
    parts: { ...exporting, seen: downSeen(exported), usage: undefined },
    conditions: 'Ready=True/Unmounted Mounted=False/Unmounted Resized=True/SizeReached Exported=True/Exported',
  },
  {
    title: 'one that is being exported',
    parts: { ...exporting, ...down, progress: { ...progress, operation: 'Export' } },
    conditions:
      'Ready=True/Unmounted Mounted=False/Unmounted Resized=True/SizeReached Exported=False/Exporting Reconciling=True/Exporting',
  },
  {
    title: 'one that is not exported, for now',
    parts: { ...exporting, ...down, exportRefusal: { ...time, reason: 'ExportFailed' } },
    conditions:
      'Ready=True/Unmounted Mounted=False/Unmounted Resized=True/SizeReached Exported=False/ExportFailed Reconciling=True/ExportFailed',
  },
  {
    title: 'one that can not be unmounted',
    parts: { ...unmounted, failure: { ...time, reason: 'InUse' } },
    conditions:
      'Ready=False/InUse Mounted=True/Mounted Resized=True/SizeReached CapacityPressure=False/EnoughSpace Reconciling=True/InUse',
  },
  {
    title: 'one on its way down',
    parts: unmounted,
    conditions: fine.replace('Ready=True/Ready', 'Ready=False/Unmounting'),
  },
  {
    title: 'C19 one on its way up',
    parts: down,
    conditions: 'Ready=False/Mounting Mounted=False/Mounting Resized=True/SizeReached',
  },
  {
    title: 'one that can not be looked at',
    parts: { seen: undefined, usage: undefined, failure: time },
    conditions: 'Ready=Unknown/CommandFailed Reconciling=True/CommandFailed',
  },
  {
    title: 'one that is not there yet',
    parts: { seen: nothingSeen(), usage: undefined, failure: { ...time, reason: 'HostPressure' } },
    conditions: 'Ready=False/HostPressure Mounted=False/HostPressure Reconciling=True/HostPressure',
  },
  {
    title: 'one that only a person can mend',
    parts: { ...down, failure: person },
    conditions:
      'Ready=False/ForeignMount Mounted=False/ForeignMount Resized=True/SizeReached Stalled=True/ForeignMount',
  },
  {
    title: 'a mounted one whose image is in doubt',
    parts: { failure: { ...person, reason: 'BackingFileReplaced' } },
    conditions: `${fine.replace('Ready=True/Ready', 'Ready=False/BackingFileReplaced')} Stalled=True/BackingFileReplaced`,
  },
  {
    title: 'C22 a mounted one stays usable through a failed command',
    parts: { failure: time },
    conditions: `${fine} Reconciling=True/CommandFailed`,
  },
  { title: 'a read-only one', parts: readOnly, conditions: fine.replace('Ready=True/Ready', 'Ready=False/ReadOnly') },
  {
    title: 'a read-only one that is in use',
    parts: { ...readOnly, failure: { ...time, reason: 'ReadOnlyNeedsRestart' } },
    conditions: `${fine.replace('Ready=True/Ready', 'Ready=False/ReadOnlyNeedsRestart')} Reconciling=True/ReadOnlyNeedsRestart`,
  },
  {
    title: 'a resize that a person has to change',
    parts: { resizeRefusal: refused },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/BelowResizeLimit')} Stalled=True/BelowResizeLimit`,
  },
  {
    title: 'a resize that waits for room',
    parts: { resizeRefusal: wait },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/NodeFull')} Reconciling=True/NodeFull`,
  },
  {
    title: 'a minimizing that runs',
    parts: { wish: wishWith({ minimize }), progress },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/Minimizing')} Reconciling=True/Minimizing`,
  },
  {
    title: 'a shrink that runs',
    parts: { progress: { ...progress, operation: 'Shrink' } },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/Shrinking')} Reconciling=True/Shrinking`,
  },
  {
    title: 'a half done resize',
    parts: half,
    conditions: fine.replace('Resized=True/SizeReached', 'Resized=False/Shrinking'),
  },
  {
    title: 'a growth to come',
    parts: { wish: wishWith({ sizeBytes: 2 * GIB }) },
    conditions: fine.replace('Resized=True/SizeReached', 'Resized=False/Growing'),
  },
  {
    title: 'a growth that failed',
    parts: { wish: wishWith({ sizeBytes: 2 * GIB }), failure: time },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/CommandFailed')} Reconciling=True/CommandFailed`,
  },
  {
    title: 'a resize of an unmounted volume',
    parts: { ...down, wish: wishWith({ sizeBytes: 2 * GIB, mounted: false }) },
    conditions: 'Ready=True/Unmounted Mounted=False/Unmounted Resized=False/Unmounted',
  },
  {
    title: 'a minimizing that failed is not done',
    parts: { wish: wishWith({ minimize }), failure: time },
    conditions: `${fine.replace('Resized=True/SizeReached', 'Resized=False/CommandFailed')} Reconciling=True/CommandFailed`,
  },
  {
    title: 'a minimizing that was done',
    parts: { wish: wishWith({ minimize }), seen: mountedSeen({ record: recordOf({ minimized: small }) }) },
    conditions: fine,
  },
  {
    title: 'a minimizing that another wish asked for',
    parts: {
      wish: wishWith({ minimize }),
      seen: mountedSeen({ record: recordOf({ minimized: { ...small, request: 'r0' } }) }),
    },
    conditions: fine.replace('Resized=True/SizeReached', 'Resized=False/Shrinking'),
  },
  {
    title: 'little space',
    parts: { usage: usageWith({ freeBytes: 100 * MIB }) },
    conditions: fine.replace('False/EnoughSpace', 'True/AlmostFull'),
  },
  {
    title: 'little space on the node',
    parts: { hostPressure: 'less than 10 % of the node is free' },
    conditions: fine.replace('False/EnoughSpace', 'True/HostPressure'),
  },
  {
    title: 'errors of the device',
    parts: { seen: mountedSeen({ tree: treeOf({ deviceErrors: { write: 2 } }) }) },
    conditions: `${fine} Damaged=True/DeviceErrors`,
  },
  {
    title: 'an image without its end',
    parts: { ...down, failure: { ...person, reason: 'ImageTruncated' } },
    conditions:
      'Ready=False/ImageTruncated Mounted=False/ImageTruncated Resized=True/SizeReached Damaged=True/ImageTruncated Stalled=True/ImageTruncated',
  },
  {
    title: 'a device that is larger than its filesystem',
    parts: { seen: mountedSeen({ image: imageOf({ sizeBytes: 2 * GIB }) }) },
    conditions: fine.replace('Resized=True/SizeReached', 'Resized=False/Shrinking'),
  },
];

const made = (parts: Partial<Report>, previous: readonly Condition[] = []) => conditionsOf(reportWith(parts), previous);

describe('conditionsOf', () => {
  it.each(rows)('$title', ({ parts, conditions }) => {
    const list = made(parts);
    expect(list.map(({ type, status, reason }) => `${type}=${status}/${reason}`).join(' ')).toBe(conditions);
  });

  it.each(rows)(
    '$title: one line each, without pid, time or temporary name, of known types and reasons',
    ({ parts }) => {
      for (const { type, reason, message, observedGeneration } of made(parts)) {
        expect(Object.keys(loopbackVolumeConditionTypes)).toContain(type);
        expect(Object.keys(loopbackVolumeReasons)).toContain(reason);
        expect(message).toMatch(/^\S.{0,400}\S$/);
        expect(message).not.toMatch(/\d{4}-\d\d-\d\d|\bpid\b|\.tmp|\.new|NaN|undefined/);
        expect(observedGeneration).toBe(3);
      }
    },
  );

  it('Reconciling and Stalled go when their cause goes', () => {
    const before = made({ failure: person, resizeRefusal: wait });
    const after = made({}, before);
    expect(findCondition(after, 'Stalled')).toBeUndefined();
    expect(findCondition(after, 'Reconciling')).toBeUndefined();
  });

  it('Stalled does not come beside Reconciling: what is retried comes first', () => {
    const both = made({ failure: time, resizeRefusal: refused });
    expect(findCondition(both, 'Reconciling')?.reason).toBe(time.reason);
    expect(findCondition(both, 'Stalled')).toBeUndefined();
    expect(findCondition(made({ resizeRefusal: refused }, both), 'Stalled')?.reason).toBe(refused.reason);
  });

  it('C22 what failed is said where Ready stays True', () => {
    expect(findCondition(made({ failure: time }), 'Reconciling')?.message).toBe(time.message);
  });

  it('CapacityPressure ends with a little more free than it began at', () => {
    const full = made({ usage: usageWith({ freeBytes: MIB }) });
    const reasonWith = (freeBytes: number) =>
      findCondition(made({ usage: usageWith({ freeBytes }) }, full), 'CapacityPressure')?.reason;
    expect([reasonWith(GIB * 0.12 - 1), reasonWith(Math.ceil(GIB * 0.12))]).toEqual(['AlmostFull', 'EnoughSpace']);
  });

  it('Ready says where the data is', () => {
    expect(findCondition(made({}), 'Ready')?.message).toBe(`mounted; its data is in /root/volumes/${UID}/data`);
  });

  it("conditions of others and of former versions don't stay", () => {
    const other = {
      type: 'Other',
      status: 'True',
      reason: 'X',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    } as const;
    expect(findCondition(made({}, [other]), 'Other')).toBeUndefined();
  });
});
