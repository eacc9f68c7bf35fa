import { type Condition, findCondition, formatTime, setCondition } from '../../api/conditions.ts';
import type { LoopbackVolumeConditionType, LoopbackVolumeReason } from '../../api/reasons.ts';
import { kindsAbove } from '../../storage/device-errors.ts';
import type { VolumeRecord } from '../../storage/records.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Progress, Report } from './report.ts';
import type { Wish } from './wish.ts';

/** CapacityPressure begins when less than this part of the size is free, and ends when RELIEF_PART is: it must not come and go. */
const PRESSURE_PART = 0.1;
const RELIEF_PART = 0.12;

/** True when so little of the volume is free that somebody should do something; `before` are the conditions written last. */
export function isAlmostFull(freeBytes: number, sizeBytes: number, before: readonly Condition[] | undefined): boolean {
  const wasAlmostFull = findCondition(before, 'CapacityPressure')?.reason === 'AlmostFull';
  return freeBytes < sizeBytes * (wasAlmostFull ? RELIEF_PART : PRESSURE_PART);
}

/** The agent's conditions: Ready always, each of the others while there is something to say. Pure. */
export function conditionsOf(report: Report, previous: readonly Condition[]): Condition[] {
  const observedGeneration = report.volume.metadata.generation ?? 0;
  const entries: (readonly [LoopbackVolumeConditionType, Verdict | undefined])[] = [
    ['Ready', readyOf(report)],
    ['Mounted', mountedOf(report)],
    ['Resized', resizedOf(report)],
    ['CapacityPressure', pressureOf(report, previous)],
    ['Damaged', damagedOf(report)],
    ['Exported', exportedOf(report)],
    ['Reconciling', reconcilingOf(report)],
    ['Stalled', stalledOf(report)],
  ];
  return entries.flatMap(([type, verdict]) => {
    if (verdict === undefined) return [];
    const [status, reason, message] = verdict;
    return setCondition(
      previous.filter((condition) => condition.type === type),
      { type, status, reason, message, observedGeneration },
      report.now,
    );
  });
}

type Verdict = readonly [status: Condition['status'], reason: LoopbackVolumeReason, message: string];

/** Usable as the spec wants it: a change of size that is under way or refused does not take that away. */
function readyOf({ seen, wish, failure, import: content }: Report): Verdict {
  if (seen === undefined)
    return ['Unknown', failure?.reason ?? 'CommandFailed', failure?.message ?? 'the volume can not be looked at'];
  if (seen.record?.initialized === false && failure === undefined && content !== undefined) {
    return ['False', 'Filling', 'the content of spec.source is coming; see status.import'];
  }
  if (!wish.mounted && seen.tree === undefined && failure === undefined) {
    return ['True', 'Unmounted', 'unmounted as spec.mounted asks; the image is kept'];
  }
  // One that was mounted anew is not trusted before that has lasted.
  if (seen.tree?.readOnly || failure?.reason === 'ReadOnly')
    return [
      'False',
      failure?.reason ?? 'ReadOnly',
      failure?.message ?? 'btrfs turned the volume read-only after an error; it is being mounted anew',
    ];
  if (!wish.mounted) return ['False', failure?.reason ?? 'Unmounting', failure?.message ?? 'being unmounted'];
  if (seen.tree === undefined)
    return ['False', failure?.reason ?? 'Mounting', failure?.message ?? 'the volume is being made ready'];
  // A mounted volume stays usable through a failure of a command, but not when its identity or content is in doubt.
  if (failure?.mendedBy === 'person') return ['False', failure.reason, failure.message];
  return ['True', 'Ready', `mounted; its data is in ${seen.tree.path}/data`];
}

function mountedOf({ seen, wish, failure }: Report): Verdict | undefined {
  if (seen === undefined) return undefined;
  const { tree } = seen;
  if (tree === undefined)
    return ['False', failure?.reason ?? (wish.mounted ? 'Mounting' : 'Unmounted'), failure?.message ?? 'not mounted'];
  return ['True', 'Mounted', `mounted ${tree.readOnly ? 'read-only ' : ''}from ${tree.loopPath}`];
}

function resizedOf({ seen, wish, failure, resizeRefusal, progress }: Report): Verdict | undefined {
  if (resizeRefusal !== undefined) return ['False', resizeRefusal.reason, resizeRefusal.message];
  if (seen?.record === undefined || !seen.record.initialized) return undefined;
  if (progress !== undefined && progress.operation !== 'Export')
    return ['False', reasonOf(progress), 'see status.progress'];
  if (hasWantedSize(seen.record, seen, wish)) {
    const asked = wish.minimize === undefined ? 'the size of spec.size' : 'the size that spec.minimize asks for';
    return ['True', 'SizeReached', `the volume has ${asked}`];
  }
  if (failure !== undefined) return ['False', failure.reason, failure.message];
  if (!wish.mounted) return ['False', 'Unmounted', 'the size is changed when the volume is mounted again'];
  const isTooSmall = (seen.image?.sizeBytes ?? 0) < wish.sizeBytes && wish.minimize === undefined;
  return ['False', isTooSmall ? 'Growing' : 'Shrinking', 'the size is being changed'];
}

/** The size that spec asks for, or what the last minimizing led to if that is what spec still asks for. */
function hasWantedSize({ resize, minimized }: VolumeRecord, { image, tree }: VolumeObservation, wish: Wish): boolean {
  const done = minimized?.request === wish.minimize?.request ? minimized?.sizeBytes : undefined;
  const wantedBytes = wish.minimize === undefined ? wish.sizeBytes : done;
  if (resize !== undefined || wantedBytes === undefined) return false;
  const sizes = [image?.sizeBytes, ...(tree === undefined ? [] : [tree.filesystemSizeBytes, tree.capacityBytes])];
  return sizes.every((size) => size === wantedBytes);
}

function reasonOf({ operation }: Progress) {
  return ({ Minimize: 'Minimizing', Shrink: 'Shrinking', Export: 'Exporting' } as const)[operation];
}

function exportedOf({ seen, wish, exportRefusal, progress }: Report): Verdict | undefined {
  if (seen === undefined || wish.exportFile === undefined) return undefined;
  if (exportRefusal !== undefined) return ['False', exportRefusal.reason, exportRefusal.message];
  if (seen.isExported && seen.record?.export?.file === wish.exportFile) {
    return ['True', 'Exported', 'the file is whole and on disk; see status.export'];
  }
  const isRunning = progress?.operation === 'Export';
  return ['False', 'Exporting', isRunning ? 'see status.progress' : 'written when the volume is filled and unmounted'];
}

function pressureOf({ usage, seen, hostPressure }: Report, previous: readonly Condition[]): Verdict | undefined {
  const sizeBytes = seen?.image?.sizeBytes;
  if (usage === undefined || sizeBytes === undefined) return undefined;
  if (isAlmostFull(usage.freeBytes, sizeBytes, previous))
    return [
      'True',
      'AlmostFull',
      `the volume is almost full; delete data until ${RELIEF_PART * 100} % is free, or raise spec.size`,
    ];
  if (hostPressure !== undefined)
    return [
      'True',
      'HostPressure',
      `writing may fail before the volume is full: ${hostPressure}; free space on the node`,
    ];
  return ['False', 'EnoughSpace', 'there is space left'];
}

function damagedOf({ seen, failure, failing }: Report): Verdict | undefined {
  if (failure?.reason === 'FilesystemDamaged' || failure?.reason === 'ImageTruncated')
    return ['True', failure.reason, failure.message];
  const kinds = failing?.kinds ?? kindsAbove(seen?.tree?.deviceErrors ?? {}, {});
  if (kinds.length === 0) return undefined;
  const since = failing === undefined ? '' : ` since ${formatTime(failing.since)}`;
  return [
    'True',
    'DeviceErrors',
    `btrfs counts errors of the device or of checksums${since} (${kinds.join(', ')}); see btrfs device stats and the kernel log of the node, mend the disk below the image, and save what can be read`,
  ];
}

function reconcilingOf(report: Report): Verdict | undefined {
  const { failure, resizeRefusal, exportRefusal, progress, seen } = report;
  const trouble = failure ?? resizeRefusal ?? exportRefusal;
  if (trouble?.mendedBy === 'time') return ['True', trouble.reason, trouble.message];
  if (seen?.record?.initialized === false && report.import !== undefined) {
    return ['True', 'Filling', 'see status.import'];
  }
  return progress === undefined ? undefined : ['True', reasonOf(progress), 'see status.progress'];
}

/** Not beside Reconciling: who waits for the end of one of them waits for both. */
function stalledOf(report: Report): Verdict | undefined {
  if (reconcilingOf(report) !== undefined) return undefined;
  const { failure, resizeRefusal, exportRefusal } = report;
  const trouble = [failure, resizeRefusal, exportRefusal].find((refusal) => refusal?.mendedBy === 'person');
  return trouble === undefined ? undefined : ['True', trouble.reason, trouble.message];
}
