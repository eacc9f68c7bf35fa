import { isOutOfSpace, resizeFilesystem, syncFilesystem } from '../host/btrfs-filesystem.ts';
import { carryOut } from './compact-carry-out.ts';
import { CompactHistory } from './compact-history.ts';
import { endOf, type Layout, neededOf } from './compact-layout.ts';
import {
  type CompactTarget,
  commit,
  endLeftovers,
  isBusyVolume,
  isWrittenTo,
  liveAllocation,
  observeLayout,
} from './compact-observe.ts';
import { decideStep } from './compact-plan.ts';
import { type CompactOutcome, type Goal, SLIVER_BYTES, SMALLEST_SIZE_BYTES, type Step } from './compact-step.ts';

const MiB = 1024 * 1024;
/** Two copies of what a filesystem with hardly any metadata needs of it, and of what large ones keep in reserve. */
const SMALLEST_SCRATCH_BYTES = 64 * MiB;
const LARGEST_SCRATCH_BYTES = 1024 * MiB;
/** Someone who writes may allocate space behind the end just before it is cut off. */
const FINISHES = 5;

export interface CompactOptions extends CompactTarget {
  /** The run ends as soon as the filesystem has this size; sizes below 256 MiB count as that. */
  readonly stopAtBytes: number;
  /** Near that is not enough, if the content fits. */
  readonly exact?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: CompactProgress) => void;
}

export interface CompactProgress {
  /** What is being done: the kind of the step. */
  readonly phase: string;
  /** Size of the filesystem now; it may be larger than before for a while. */
  readonly sizeBytes: number;
  /** Content written to other places so far. */
  readonly movedBytes: number;
}

export interface CompactResult {
  /** Real size of the filesystem now. */
  readonly sizeBytes: number;
  readonly movedBytes: number;
  readonly outcome: CompactOutcome;
}

/**
 * The filesystem is as small as its data needs, or has `stopAtBytes`, and is no larger than before. Online, while files are
 * written: where it isn't safe to go on beside that it ends as `held-up`, perhaps a little larger than before, and a run in a quiet moment
 * gets further. No profile changes, and some thousand files can be created afterwards. Meanwhile it may grow up to the capacity
 * of its device: cut that off only afterwards. Idempotent and crash safe: it consists of resizes and balances of single
 * chunks, and a run that was killed at any instant starts again from what is there. Throws `in-use` (BusyVolume if its layout could
 * not be read even once), `conflict`, and the error of a command that failed or was aborted.
 */
export async function compactFilesystem(options: CompactOptions): Promise<CompactResult> {
  await endLeftovers(options);
  const history = new CompactHistory();
  let layout = await observeLayout(options);
  const stopAtBytes = Math.max(options.stopAtBytes, SMALLEST_SIZE_BYTES);
  const goal: Goal = { stopAtBytes, mostBytes: layout.sizeBytes, exact: options.exact ?? false };
  if (stopAtBytes >= layout.sizeBytes) return { sizeBytes: layout.sizeBytes, movedBytes: 0, outcome: 'reached' };

  try {
    for (let finishes = 0; ; ) {
      options.signal?.throwIfAborted();
      history.observe(layout);
      const step = decideStep(layout, goal, history);
      if (step.kind === 'finish') {
        const ended = history.heldUp
          ? await openEnd(options, layout, step.sizeBytes)
          : await tryResize(options, step.sizeBytes);
        if (!ended) history.heldUp = true;
        layout = await observeLayout(options);
        if (ended || ++finishes === FINISHES) {
          const result = resultOf(layout, history, goal, step);
          return isFarFrom(goal, result) && (await isWrittenTo(options)) ? { ...result, outcome: 'held-up' } : result;
        }
      } else {
        await carryOut(options, layout, history, step);
        if (step.kind !== 'inspect') layout = await observeLayout(options);
      }
      options.onProgress?.({ phase: step.kind, sizeBytes: layout.sizeBytes, movedBytes: history.movedBytes });
    }
  } catch (error) {
    if (!isBusyVolume(error)) throw error;
    const sizeBytes = await growBack(options, goal);
    return { sizeBytes, movedBytes: history.movedBytes, outcome: 'held-up' };
  }
}

/** How much larger than a filesystem of this size its device should be, so that metadata finds a place in any case. */
export function scratchBytes(sizeBytes: number): number {
  return Math.ceil(Math.min(Math.max(sizeBytes / 16, SMALLEST_SCRATCH_BYTES), LARGEST_SCRATCH_BYTES) / MiB) * MiB;
}

function resultOf(
  { sizeBytes }: Layout,
  { movedBytes, heldUp }: CompactHistory,
  { stopAtBytes, mostBytes }: Goal,
  step: Step & { kind: 'finish' },
): CompactResult {
  // Only those who write keep in scratch space what went there.
  if (sizeBytes > mostBytes) return { sizeBytes, movedBytes, outcome: 'held-up' };
  const enoughBytes = step.outcome === 'near-enough' ? step.sizeBytes : stopAtBytes;
  return { sizeBytes, movedBytes, outcome: heldUp && sizeBytes > enoughBytes ? 'held-up' : step.outcome };
}

/** Further than any content keeps it when nobody writes: those who do have taken the room that moves need. */
function isFarFrom({ stopAtBytes }: Goal, { sizeBytes }: CompactResult): boolean {
  return sizeBytes > 1.2 * stopAtBytes + 128 * MiB;
}

/** False when something was allocated behind the new end meanwhile and finds no other place. */
async function tryResize({ run, mountPath }: CompactTarget, sizeBytes: number): Promise<boolean> {
  try {
    await resizeFilesystem(run, mountPath, sizeBytes);
    return true;
  } catch (error) {
    if (!isOutOfSpace(error)) throw error;
    return false;
  }
}

/**
 * Those who write have all the space that there was before, when it isn't known what is where: it may be closed off right at its end. Returns
 * the size; a larger one stays, since metadata may be in what is more.
 */
async function growBack(target: CompactTarget, { mostBytes }: Goal): Promise<number> {
  const { run, mountPath } = target;
  const { totalBytes: sizeBytes } = await commit(target);
  if (sizeBytes >= mostBytes) return sizeBytes;
  await resizeFilesystem(run, mountPath, mostBytes);
  return mostBytes;
}

/** As `tryResize`, and growing at last makes the kernel look for unallocated space again, which those who write need next. */
async function openEnd(target: CompactTarget, layout: Layout, sizeBytes: number): Promise<boolean> {
  const lowerBytes = Math.max(endOf(layout), sizeBytes - SLIVER_BYTES, SMALLEST_SIZE_BYTES);
  const openBytes = Math.max(sizeBytes, Math.min(layout.capacityBytes, lowerBytes + SLIVER_BYTES));
  return (await tryResize(target, lowerBytes)) && (await tryResize(target, openBytes));
}

/**
 * What the content takes on the device, copies included, and about the smallest size it fits into: with the metadata that the kernel keeps in
 * reserve and little else free.
 */
export async function spaceNeeded(target: CompactTarget): Promise<{ usedBytes: number; neededBytes: number }> {
  await syncFilesystem(target.run, target.mountPath);
  const figures = await liveAllocation(target.filesystemUUID);
  const { data, metadata, system } = figures;
  const neededBytes = neededOf({
    dataBytes: data.diskUsedBytes,
    metadataBytes: metadata.usedBytes + figures.globalReserveBytes,
    metadataCopies: metadata.totalBytes === 0 ? 1 : Math.round(metadata.diskTotalBytes / metadata.totalBytes),
    systemBytes: system.diskTotalBytes,
  });
  return { usedBytes: data.diskUsedBytes + metadata.diskUsedBytes + system.diskUsedBytes, neededBytes };
}
