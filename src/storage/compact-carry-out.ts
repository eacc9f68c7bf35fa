import { setTimeout as delay } from 'node:timers/promises';
import { readLongestExtent } from '../host/block-group-usage.ts';
import { balanceChunk } from '../host/btrfs-balance.ts';
import { forgetFailedAllocation, isOutOfSpace, resizeFilesystem } from '../host/btrfs-filesystem.ts';
import { UnexpectedOutputError } from '../host/unexpected-output.ts';
import type { CompactHistory } from './compact-history.ts';
import { endOf, type Layout } from './compact-layout.ts';
import { type CompactTarget, hasChunksOf, isWrittenTo } from './compact-observe.ts';
import { type MovingStep, SMALLEST_SIZE_BYTES, type Step } from './compact-step.ts';
import { StorageError } from './errors.ts';

/**
 * An empty chunk can't be dropped while metadata is exhausted; the kernel's cleaner, which wakes every 30 s, removes it all the
 * same.
 */
const CLEANER_PAUSE_MS = 5_000;
const CLEANER_PAUSES = 8;
/** Who was seen to write may only wait for room: long enough to see most who try again now and then. */
const LONG_QUIET_MS = 3_000;

export interface CarryOutTarget extends CompactTarget {
  readonly signal?: AbortSignal | undefined;
}

/**
 * The step is done, or known to find no place, or left out because files are written: the history says so. Decide the next one from what
 * there is then. Throws the error of a command that failed for another reason or was aborted.
 */
export async function carryOut(
  target: CarryOutTarget,
  layout: Layout,
  history: CompactHistory,
  step: Exclude<Step, { kind: 'finish' }>,
): Promise<void> {
  if (step.kind === 'inspect') {
    history.longestExtents.set(step.chunk.logicalStart, await inspect(target, step));
    return;
  }
  if (step.chunk.kind === 'mixed') {
    throw new StorageError(
      'unsupported',
      'could not shrink the filesystem: it has mixed block groups (mkfs.btrfs --mixed)',
    );
  }
  try {
    if (!(await isAllowed(target, layout, history, step))) return history.putOff(step);
    history.begin(step, layout);
    await move(target, step);
  } catch (error) {
    if (!isOutOfSpace(error)) throw error;
    if (step.kind === 'drop' && history.cleanerPauses++ < CLEANER_PAUSES) {
      await delay(CLEANER_PAUSE_MS, undefined, { signal: target.signal });
      return;
    }
    history.fail(step);
    await forgetFailedAllocation(target.run, target.mountPath);
    // They may have taken the space that the step was to use.
    if (await seesWriter(target, history)) history.heldUp = true;
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

/**
 * True when the filesystem has the size for the step and, where that matters, nobody seems to write. Who waits for room makes no commits, and
 * goes on as soon as there is some: it takes a look with the new size, too.
 */
async function isAllowed(
  target: CompactTarget,
  layout: Layout,
  history: CompactHistory,
  step: MovingStep,
): Promise<boolean> {
  const onlyWhenQuiet = step.alone || step.unlessWritten;
  const movesMetadata = step.chunk.kind !== 'data' && step.kind !== 'drop';
  const quietMs = history.sawWriter && movesMetadata ? LONG_QUIET_MS : undefined;
  const resizes = isBalance(step) && step.kind !== 'drop' && step.sizeBytes !== layout.sizeBytes;
  // Where nothing grows and nobody was seen, the look with the new size will do.
  const looksFirst = !resizes || step.sizeBytes > layout.sizeBytes || history.sawWriter;
  if (onlyWhenQuiet && looksFirst && (await seesWriter(target, history, resizes ? undefined : quietMs))) return false;
  if (resizes) await makeRoom(target, layout, step);
  if (onlyWhenQuiet && resizes && (await seesWriter(target, history, quietMs))) return false;
  // The last word, an instant before: nobody got the place.
  return !movesMetadata || (await hasChunksOf(target, layout));
}

async function seesWriter(target: CompactTarget, history: CompactHistory, quietMs?: number): Promise<boolean> {
  const written = await isWrittenTo(target, quietMs);
  history.sawWriter ||= written;
  return written;
}

function isBalance({ kind }: MovingStep): boolean {
  return kind !== 'squeeze' && kind !== 'tighten';
}

async function makeRoom({ run, mountPath }: CompactTarget, layout: Layout, step: MovingStep): Promise<void> {
  const endBytes = Math.max(SMALLEST_SIZE_BYTES, endOf(layout));
  // Closed first and grown then: that clears what the kernel remembers of having found no space.
  if (endBytes < layout.sizeBytes && step.kind !== 'enlarge') await resizeFilesystem(run, mountPath, endBytes);
  await resizeFilesystem(run, mountPath, Math.max(endBytes, step.sizeBytes));
}

async function move({ run, mountPath }: CompactTarget, step: MovingStep): Promise<void> {
  const { chunk, sizeBytes } = step;
  if (!isBalance(step)) {
    await resizeFilesystem(run, mountPath, sizeBytes);
    return;
  }
  const startBytes = chunk.logicalStart;
  // A balance of metadata takes system chunks along; no other one belongs to this range.
  const moved = chunk.kind === 'data' ? 'data' : 'metadata';
  await balanceChunk(run, mountPath, { kind: moved, startBytes, endBytes: startBytes + chunk.lengthBytes });
}
