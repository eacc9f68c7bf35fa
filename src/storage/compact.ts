import { setTimeout as delay } from 'node:timers/promises';
import { readLongestExtent } from '../host/block-group-usage.ts';
import { balanceChunk } from '../host/btrfs-balance.ts';
import { forgetFailedAllocation, isOutOfSpace, resizeFilesystem, syncFilesystem } from '../host/btrfs-filesystem.ts';
import { UnexpectedOutputError } from '../host/unexpected-output.ts';
import { CompactHistory } from './compact-history.ts';
import { endOf, type Layout, neededOf } from './compact-layout.ts';
import { type CompactTarget, endLeftovers, liveAllocation, observeLayout } from './compact-observe.ts';
import { decideStep } from './compact-plan.ts';
import { type CompactOutcome, type MovingStep, SMALLEST_SIZE_BYTES, type Step } from './compact-step.ts';
import { StorageError } from './errors.ts';

/**
 * An empty chunk can't be dropped while metadata is exhausted; the kernel's cleaner, which wakes every 30 s, removes it all the
 * same.
 */
const CLEANER_PAUSE_MS = 5_000;
const CLEANER_PAUSES = 8;
/** Someone who writes may allocate space behind the end just before it is cut off. */
const FINISHES = 5;

export interface CompactOptions extends CompactTarget {
  /** The run ends as soon as the filesystem has this size; sizes below 256 MiB count as that. */
  readonly stopAtBytes: number;
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
 * The filesystem is as small as its data needs, or has `stopAtBytes`, and is never larger than before. Online, while files are written. No profile
 * changes, and some thousand files can be created afterwards. Meanwhile it may grow up to the capacity of its device: cut that
 * off only afterwards. Idempotent and crash safe: it consists of resizes and balances of single chunks, and a run that was killed at any instant
 * starts again from what is there. Throws `in-use`, `conflict`, and the error of a command that failed or was aborted.
 */
export async function compactFilesystem(options: CompactOptions): Promise<CompactResult> {
  await endLeftovers(options);
  const history = new CompactHistory();
  let layout = await observeLayout(options);
  const stopAtBytes = Math.max(options.stopAtBytes, SMALLEST_SIZE_BYTES);
  const goal = { stopAtBytes, mostBytes: layout.sizeBytes };
  if (stopAtBytes >= layout.sizeBytes) return { sizeBytes: layout.sizeBytes, movedBytes: 0, outcome: 'reached' };

  for (let finishes = 0; ; ) {
    options.signal?.throwIfAborted();
    history.observe(layout);
    const step = decideStep(layout, goal, history);
    if (step.kind === 'finish') {
      const ended = await tryResize(options, step.sizeBytes);
      layout = await observeLayout(options);
      if (ended || ++finishes === FINISHES) return resultOf(layout, history, step.outcome);
    } else {
      await carryOut(options, layout, history, step);
      if (step.kind !== 'inspect') layout = await observeLayout(options);
    }
    options.onProgress?.({ phase: step.kind, sizeBytes: layout.sizeBytes, movedBytes: history.movedBytes });
  }
}

function resultOf({ sizeBytes }: Layout, { movedBytes }: CompactHistory, outcome: CompactOutcome): CompactResult {
  return { sizeBytes, movedBytes, outcome };
}

async function carryOut(
  options: CompactOptions,
  layout: Layout,
  history: CompactHistory,
  step: Exclude<Step, { kind: 'finish' }>,
): Promise<void> {
  if (step.kind === 'inspect') {
    history.longestExtents.set(step.chunk.logicalStart, await inspect(options, step));
    return;
  }
  history.begin(step);
  try {
    await move(options, layout, step);
  } catch (error) {
    if (!isOutOfSpace(error)) throw error;
    if (step.kind === 'drop' && history.cleanerPauses++ < CLEANER_PAUSES) {
      await delay(CLEANER_PAUSE_MS, undefined, { signal: options.signal });
      return;
    }
    history.fail(step);
    await forgetFailedAllocation(options.run, options.mountPath);
  }
}

async function inspect({ run, devicePath }: CompactTarget, { chunk }: Step & { kind: 'inspect' }): Promise<number> {
  try {
    return (await readLongestExtent(run, devicePath, chunk)) ?? 0;
  } catch (error) {
    // The tree changed under it: nothing is known then, as with too many extents.
    if (error instanceof UnexpectedOutputError) return 0;
    throw error;
  }
}

async function move({ run, mountPath }: CompactTarget, layout: Layout, step: MovingStep): Promise<void> {
  const { chunk, kind, sizeBytes } = step;
  if (kind === 'squeeze' || kind === 'tighten') {
    await resizeFilesystem(run, mountPath, sizeBytes);
    return;
  }
  if (chunk.kind !== 'data' && chunk.kind !== 'metadata') {
    throw new StorageError('unsupported', `could not move a chunk of kind "${chunk.kind}"`);
  }
  if (kind !== 'drop') {
    const endBytes = Math.max(SMALLEST_SIZE_BYTES, endOf(layout));
    if (endBytes < layout.sizeBytes) await resizeFilesystem(run, mountPath, endBytes);
    await resizeFilesystem(run, mountPath, Math.max(endBytes, sizeBytes));
  }
  const startBytes = chunk.logicalStart;
  await balanceChunk(run, mountPath, { kind: chunk.kind, startBytes, endBytes: startBytes + chunk.lengthBytes });
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
