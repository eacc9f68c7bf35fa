import { type BtrfsNode, type BtrfsNodeStatus, MAX_ORPHANS, type Orphan } from '../../api/btrfs-node.ts';
import { type Condition, formatTime, setCondition } from '../../api/conditions.ts';
import { MIN_KERNEL } from '../../api/group.ts';
import type { BtrfsNodeConditionType, BtrfsNodeReason } from '../../api/reasons.ts';
import type { Platform } from '../../storage/platform.ts';
import type { HostSpace } from '../../storage/root.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import { isKernelSupported } from './kernel.ts';

/** Free space is written when it moved by this part of the whole. */
const STEP = 0.01;

export interface NodeReport {
  readonly previous: BtrfsNode;
  readonly platform: Platform;
  readonly space: HostSpace;
  readonly allocatableBytes: number;
  readonly committedBytes: number;
  readonly exportedBytes: number;
  readonly pressure: string | undefined;
  /** Undefined while it is not known which objects there are: then what was written stays. */
  readonly orphans: readonly OrphanData[] | undefined;
  /** Undefined until there is one: then what was written is no longer true. */
  readonly transferEndpoint: string | undefined;
  readonly now: Date;
}

/** What the node offers to volumes. Pure. */
export function nodeStatusOf(report: NodeReport): BtrfsNodeStatus {
  const { previous, platform, space, allocatableBytes, committedBytes, exportedBytes, transferEndpoint, now } = report;
  const observedGeneration = previous.metadata.generation ?? 0;
  const before = previous.status.conditions;
  const verdicts: (readonly [BtrfsNodeConditionType, Verdict])[] = [
    ['Ready', readyOf(report)],
    ['KernelSupported', kernelOf(platform)],
    ['HostPressure', pressureOf(report)],
  ];
  const conditions = verdicts.flatMap(([type, [status, reason, message]]): Condition[] =>
    setCondition(
      before?.filter((condition) => condition.type === type),
      { type, status, reason, message, observedGeneration },
      now,
    ),
  );
  return {
    observedGeneration,
    hostTotalBytes: space.totalBytes,
    hostFreeBytes: freeBytesOf(space, previous.status.hostFreeBytes),
    allocatableBytes,
    committedBytes,
    exportedBytes,
    kernel: platform.kernel,
    btrfsProgs: platform.btrfsProgs,
    ...(transferEndpoint === undefined ? {} : { transferEndpoint }),
    ...orphansOf(report),
    conditions,
  };
}

/** Oldest first; the field is left out when there are none. */
function orphansOf({ orphans, previous, now }: NodeReport): Pick<BtrfsNodeStatus, 'orphans' | 'orphanCount'> {
  const { orphans: written = [], orphanCount: count } = previous.status;
  if (orphans === undefined) return { ...(count === undefined ? {} : { orphanCount: count, orphans: written }) };
  const since = new Map(written.map((orphan) => [orphan.uid, orphan.since]));
  const listed = orphans.map((orphan): Orphan => withoutAbsent(orphan, since.get(orphan.uid) ?? formatTime(now)));
  const oldest = listed.toSorted((a, b) => (a.since ?? '').localeCompare(b.since ?? '')).slice(0, MAX_ORPHANS);
  return oldest.length === 0 ? {} : { orphans: oldest, orphanCount: orphans.length };
}

function withoutAbsent(orphan: OrphanData, since: string): Orphan {
  return JSON.parse(JSON.stringify({ ...orphan, since })) as Orphan;
}

function freeBytesOf({ freeBytes, totalBytes }: HostSpace, written: number | undefined): number {
  return written !== undefined && Math.abs(freeBytes - written) < totalBytes * STEP ? written : freeBytes;
}

type Verdict = readonly [status: 'True' | 'False', reason: BtrfsNodeReason, message: string];

function readyOf({ platform }: NodeReport): Verdict {
  const [supported, reason, message] = kernelOf(platform);
  return supported === 'True' ? ['True', 'Ready', 'the agent works'] : ['False', reason, message];
}

function kernelOf({ kernel, hasBtrfs }: Platform): Verdict {
  try {
    if (!isKernelSupported(kernel))
      return ['False', 'KernelTooOld', `kernel ${kernel} is older than ${MIN_KERNEL}; update it`];
  } catch {
    return ['False', 'KernelUnknown', `the kernel calls itself ${kernel}, which is no version`];
  }
  if (!hasBtrfs) return ['False', 'MissingFeature', 'the kernel does not know btrfs; load its module'];
  return ['True', 'KernelSupported', `kernel ${kernel} with btrfs`];
}

function pressureOf({ pressure }: NodeReport): Verdict {
  if (pressure === undefined) return ['False', 'EnoughSpace', 'there is space left'];
  return ['True', 'HostAlmostFull', `${pressure}; new volumes and growth are refused until space is freed`];
}
