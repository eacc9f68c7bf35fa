import type { Condition } from '../../api/conditions.ts';
import { findCondition, formatTime, setCondition } from '../../api/conditions.ts';
import { type LoopbackVolume, type LoopbackVolumeStatus, ownedByAgent } from '../../api/loopback-volume.ts';
import type { LoopbackVolumeConditionType, LoopbackVolumeReason } from '../../api/reasons.ts';
import type { Usage } from '../../storage/volumes/glance.ts';
import { compressionOf } from '../../storage/volumes/mount-options.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Refusal } from './decide.ts';
import type { Wish } from './wish.ts';

/** Usage is written when it moved by this part of the size; exact figures are metrics. */
const USAGE_STEP = 0.01;
/** CapacityPressure begins when less than this part of the size is free. */
const PRESSURE_PART = 0.1;

export type Progress = NonNullable<LoopbackVolumeStatus['progress']>;

/** Everything that a status is made of. */
export interface Report {
  readonly volume: LoopbackVolume;
  readonly wish: Wish;
  /** Undefined when the volume could not be looked at. */
  readonly seen: VolumeObservation | undefined;
  readonly usage: Usage | undefined;
  /** Why the volume as a whole is not as wanted. */
  readonly failure?: Refusal | undefined;
  /** Why its size is not. */
  readonly resizeRefusal?: Refusal | undefined;
  readonly hostPressure: string | undefined;
  readonly progress?: Progress | undefined;
  readonly imagePath: string;
  readonly now: Date;
}

/** The agent's part of the status: what was seen, and what is the matter. Pure. */
export function statusOf(report: Report): LoopbackVolumeStatus {
  const previous = ownedByAgent(report.volume.status);
  const figures = report.seen === undefined ? withoutConditions(previous) : figuresOf(report, report.seen, previous);
  return {
    ...figures,
    observedGeneration: report.volume.metadata.generation ?? 0,
    ...(report.progress === undefined ? {} : { progress: report.progress }),
    conditions: conditionsOf(report, previous.conditions ?? []),
  };
}

function withoutConditions({ conditions: _, progress: __, ...rest }: LoopbackVolumeStatus): LoopbackVolumeStatus {
  return rest;
}

function figuresOf(report: Report, seen: VolumeObservation, previous: LoopbackVolumeStatus): LoopbackVolumeStatus {
  const { record, image, tree } = seen;
  const loop = seen.loops.find((device) => tree === undefined || device.path === tree.loopPath);
  return defined({
    sizeBytes: image?.sizeBytes,
    ...usageOf(report, image?.sizeBytes, previous),
    // Once there has been data, the status remembers which, whatever is missing now.
    filesystemUUID: record?.initialized ? record.filesystemUUID : previous.filesystemUUID,
    loopDevice: loop?.path,
    imagePath: image === undefined ? undefined : report.imagePath,
    mountPath: tree === undefined ? undefined : tree.path,
    mountOptions: tree === undefined ? undefined : [...tree.options],
    compression: tree === undefined ? undefined : compressionOf(tree.options),
    sectorSize: loop?.sectorSize,
    directIO: loop?.directIO,
    minimized:
      record?.minimized === undefined
        ? undefined
        : { observedGeneration: record.minimized.generation, sizeBytes: record.minimized.sizeBytes },
  });
}

/** The figures written last, unless they moved enough to be worth a write. */
function usageOf({ usage, seen }: Report, sizeBytes: number | undefined, previous: LoopbackVolumeStatus): Partial<Usage> {
  const hostBytes = seen?.image?.allocatedBytes;
  const now = { usedBytes: usage?.usedBytes, freeBytes: usage?.freeBytes, hostBytes };
  const step = (sizeBytes ?? 0) * USAGE_STEP;
  const keys = ['usedBytes', 'freeBytes', 'hostBytes'] as const;
  const same = previous.sizeBytes === sizeBytes && keys.every((key) => isNear(now[key], previous[key], step));
  return defined(Object.fromEntries(keys.map((key) => [key, same ? previous[key] : now[key]])));
}

function isNear(left: number | undefined, right: number | undefined, step: number): boolean {
  if (left === undefined || right === undefined) return left === right;
  return Math.abs(left - right) < step;
}

/** True when figures have moved enough since they were written to be written again. */
export function isUsageWorthWriting(status: LoopbackVolumeStatus, usage: Usage): boolean {
  const sizeBytes = status.sizeBytes ?? 0;
  const step = sizeBytes * USAGE_STEP;
  const moved = !isNear(usage.usedBytes, status.usedBytes, step) || !isNear(usage.hostBytes, status.hostBytes, step);
  const before = findCondition(status.conditions, 'CapacityPressure')?.reason === 'AlmostFull';
  return moved || before !== usage.freeBytes < sizeBytes * PRESSURE_PART;
}

function conditionsOf(report: Report, previous: readonly Condition[]): Condition[] {
  const observedGeneration = report.volume.metadata.generation ?? 0;
  const entries: (readonly [LoopbackVolumeConditionType, Verdict | undefined])[] = [
    ['Ready', readyOf(report)],
    ['Mounted', mountedOf(report)],
    ['Resized', resizedOf(report)],
    ['CapacityPressure', pressureOf(report)],
    ['Damaged', damagedOf(report)],
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
function readyOf({ seen, wish, failure }: Report): Verdict {
  if (seen === undefined) return ['Unknown', failure?.reason ?? 'CommandFailed', failure?.message ?? 'the volume can not be looked at'];
  if (!wish.mounted && seen.tree === undefined && failure === undefined) {
    return ['True', 'Unmounted', 'unmounted as spec.mounted asks; the image is kept'];
  }
  if (seen.tree?.readOnly) return ['False', failure?.reason ?? 'ReadOnly', failure?.message ?? 'btrfs turned the volume read-only after an error; it is being mounted anew'];
  if (seen.tree === undefined || !wish.mounted || isFatal(failure)) {
    return ['False', failure?.reason ?? 'Mounting', failure?.message ?? 'the volume is being made ready'];
  }
  return ['True', 'Ready', `mounted; its data is in ${seen.tree.path}/data`];
}

/** A mounted volume stays usable through a failure of a command, but not when its identity or content is in doubt. */
function isFatal(failure: Refusal | undefined): boolean {
  if (failure === undefined) return false;
  return failure.mendedBy === 'person';
}

function mountedOf({ seen, wish, failure }: Report): Verdict | undefined {
  if (seen === undefined) return undefined;
  const { tree } = seen;
  if (tree === undefined) return ['False', failure?.reason ?? (wish.mounted ? 'Mounting' : 'Unmounted'), failure?.message ?? 'not mounted'];
  return ['True', 'Mounted', `mounted ${tree.readOnly ? 'read-only ' : ''}from ${tree.loopPath}`];
}

function resizedOf({ seen, wish, failure, resizeRefusal, progress }: Report): Verdict | undefined {
  if (resizeRefusal !== undefined) return ['False', resizeRefusal.reason, resizeRefusal.message];
  if (seen?.record === undefined || !seen.record.initialized) return undefined;
  if (progress !== undefined) {
    const reason = progress.operation === 'Minimize' ? 'Minimizing' : 'Shrinking';
    return ['False', reason, 'see status.progress'];
  }
  const wanted = wish.minimize === undefined || seen.record.minimized === undefined ? wish.sizeBytes : seen.record.minimized.sizeBytes;
  if (seen.record.resize === undefined && seen.image?.sizeBytes === wanted) {
    return ['True', 'SizeReached', wish.minimize === undefined ? 'the volume has the size of spec.size' : 'the volume is as small as spec.minimize asks'];
  }
  if (!wish.mounted && failure === undefined) return ['False', 'Unmounted', 'the size is changed when the volume is mounted again'];
  const growing = (seen.image?.sizeBytes ?? 0) < wanted;
  return ['False', failure?.reason ?? (growing ? 'Growing' : 'Shrinking'), failure?.message ?? 'the size is being changed'];
}

function pressureOf({ usage, seen, hostPressure }: Report): Verdict | undefined {
  const sizeBytes = seen?.image?.sizeBytes;
  if (usage === undefined || sizeBytes === undefined) return undefined;
  if (usage.freeBytes < sizeBytes * PRESSURE_PART) {
    return ['True', 'AlmostFull', `less than ${PRESSURE_PART * 100} % of the volume is free; delete data, or raise spec.size`];
  }
  if (hostPressure !== undefined) return ['True', 'HostPressure', `writing may fail before the volume is full: ${hostPressure}; free space on the node`];
  return ['False', 'EnoughSpace', 'there is space left'];
}

function damagedOf({ seen, failure }: Report): Verdict | undefined {
  if (failure?.reason === 'FilesystemDamaged' || failure?.reason === 'ImageTruncated') return ['True', failure.reason, failure.message];
  const errors = seen?.tree?.deviceErrors ?? 0;
  if (errors === 0) return undefined;
  return ['True', 'DeviceErrors', `btrfs counted ${errors} errors of the device or of checksums; see btrfs device stats, and save what can be read`];
}

function reconcilingOf({ failure, resizeRefusal, progress }: Report): Verdict | undefined {
  const trouble = failure ?? resizeRefusal;
  if (trouble?.mendedBy === 'time') return ['True', trouble.reason, 'tried again by itself'];
  if (progress !== undefined) return ['True', progress.operation === 'Minimize' ? 'Minimizing' : 'Shrinking', 'see status.progress'];
  return undefined;
}

function stalledOf({ failure, resizeRefusal }: Report): Verdict | undefined {
  const trouble = [failure, resizeRefusal].find((refusal) => refusal?.mendedBy === 'person');
  return trouble === undefined ? undefined : ['True', trouble.reason, trouble.message];
}

/** Without the keys whose value is undefined: server-side apply gives a field up by leaving it out. */
function defined<T extends object>(fields: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: NonNullable<T[K]>;
  };
}

/** What a deleted object's status says: whether anything is left on the node. */
export function removalStatusOf(
  volume: LoopbackVolume,
  removed: readonly [status: 'True' | 'False', reason: LoopbackVolumeReason, message: string],
  now: Date,
): LoopbackVolumeStatus {
  const previous = ownedByAgent(volume.status);
  const [status, reason, message] = removed;
  const observedGeneration = volume.metadata.generation ?? 0;
  const kept = (previous.conditions ?? []).filter(({ type }) => !['Ready', 'Removed', 'Reconciling', 'Stalled', 'Mounted', 'Resized'].includes(type));
  const updates = [
    { type: 'Ready', status: 'False', reason, message, observedGeneration },
    { type: 'Removed', status, reason, message, observedGeneration },
  ] as const;
  const conditions = updates.map((update) => setCondition((previous.conditions ?? []).filter(({ type }) => type === update.type), update, now)).flat();
  return { ...withoutConditions(previous), observedGeneration, conditions: [...conditions, ...kept] };
}

export function progressOf(operation: Progress['operation'], phase: string, bytes: { sizeBytes: number; movedBytes: number }, times: { startedAt: Date; now: Date }): Progress {
  return { operation, phase, ...bytes, startedAt: formatTime(times.startedAt), updatedAt: formatTime(times.now) };
}
