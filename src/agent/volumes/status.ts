import { findCondition, formatTime } from '../../api/conditions.ts';
import type { LoopbackVolumeStatus } from '../../api/loopback-volume.ts';
import { ownedByAgent } from '../../api/ownership.ts';
import type { VolumeRecord } from '../../storage/records.ts';
import type { Usage } from '../../storage/volumes/glance.ts';
import { compressionOf } from '../../storage/volumes/mount-options.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import { conditionsOf, isAlmostFull } from './conditions.ts';
import type { Report } from './report.ts';

/** Usage is written when it moved by this part of the size; exact figures are metrics. */
const USAGE_STEP = 0.01;

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
  // While a resize is half done they differ; what can be written into is the filesystem.
  const sizeBytes = tree?.filesystemSizeBytes ?? image?.sizeBytes;
  return defined({
    sizeBytes,
    ...usageOf(report, sizeBytes, previous),
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
    import: report.import ?? (record?.initialized ? previous.import : undefined),
    export: seen.isExported ? exportOf(record, report.exportsPath) : undefined,
  });
}

function exportOf(record: VolumeRecord | undefined, exportsPath: string): LoopbackVolumeStatus['export'] | undefined {
  const { namespaceUid, file, done } = record?.export ?? {};
  if (record === undefined || done === undefined) return undefined;
  const exportedAt = formatTime(new Date(done.exportedAt));
  return { ...done, file: `${exportsPath}/${namespaceUid}/${record.uid}/${file}`, exportedAt };
}

/** The figures written last, unless they moved enough to be worth a write. */
function usageOf(
  { usage, seen }: Report,
  sizeBytes: number | undefined,
  previous: LoopbackVolumeStatus,
): Partial<Usage> {
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

/** True when figures have moved enough since they were written to be written again, or when errors came or were reset. */
export function isUsageWorthWriting(status: LoopbackVolumeStatus, usage: Usage): boolean {
  const sizeBytes = status.sizeBytes ?? 0;
  const step = sizeBytes * USAGE_STEP;
  const moved = !isNear(usage.usedBytes, status.usedBytes, step) || !isNear(usage.hostBytes, status.hostBytes, step);
  const before = findCondition(status.conditions, 'CapacityPressure')?.reason === 'AlmostFull';
  const damaged = findCondition(status.conditions, 'Damaged')?.reason;
  const hasErrors = Object.values(usage.deviceErrors).some((count) => count > 0);
  const errorsMoved = hasErrors ? damaged === undefined : damaged === 'DeviceErrors';
  return moved || errorsMoved || before !== isAlmostFull(usage.freeBytes, sizeBytes, status.conditions);
}

/** Without the keys whose value is undefined: server-side apply gives a field up by leaving it out. */
function defined<T extends object>(fields: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: NonNullable<T[K]>;
  };
}
