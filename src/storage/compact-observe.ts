import { setTimeout as delay } from 'node:timers/promises';
import { readChunkUsage } from '../host/block-group-usage.ts';
import { cancelBalance, exclusiveOperation } from '../host/btrfs-balance.ts';
import { cancelResize, syncFilesystem } from '../host/btrfs-filesystem.ts';
import { readChunkTree } from '../host/chunk-tree.ts';
import { CommandError, type Run } from '../host/command.ts';
import { readLoopCapacity } from '../host/losetup.ts';
import { type AllocationFigures, readAllocation } from '../host/space-info.ts';
import { UnexpectedOutputError } from '../host/unexpected-output.ts';
import { type Layout, totalOf } from './compact-layout.ts';
import { StorageError } from './errors.ts';

/** Trees change under a reader when files are written; each attempt starts from a new commit. */
const ATTEMPTS = 60;
const PAUSE_MS = 200;

/** A mounted btrfs on one loop device. */
export interface CompactTarget {
  /** Ends with the signal of the caller. */
  readonly run: Run;
  readonly devicePath: string;
  /** A mount point of it below which only root writes. */
  readonly mountPath: string;
  readonly filesystemUUID: string;
}

/** Where everything is, as of a commit made for it. Throws `failed` when files change faster than it can be read. */
export async function observeLayout(target: CompactTarget): Promise<Layout> {
  for (let attempt = 1; ; attempt++) {
    await syncFilesystem(target.run, target.mountPath);
    const layout = await tryObserve(target);
    if (layout !== undefined) return layout;
    if (attempt === ATTEMPTS)
      throw new StorageError('failed', 'could not read the chunk tree: it changes all the time', {
        reason: 'CommandFailed',
      });
    await delay(PAUSE_MS);
  }
}

async function tryObserve({ run, devicePath, filesystemUUID }: CompactTarget): Promise<Layout | undefined> {
  try {
    const { sizeBytes, chunks } = await readChunkTree(run, devicePath);
    const usage = await readChunkUsage(run, devicePath, chunks);
    const figures = await liveAllocation(filesystemUUID);
    const layout: Layout = {
      sizeBytes,
      capacityBytes: await readLoopCapacity(devicePath),
      chunks: chunks.map((chunk) => ({ ...chunk, usedBytes: usage.get(chunk.logicalStart) ?? 0 })),
      globalReserveBytes: figures.globalReserveBytes,
    };
    return agrees(layout, figures) ? layout : undefined;
  } catch (error) {
    if (error instanceof UnexpectedOutputError || isBrokenRead(error)) return undefined;
    throw error;
  }
}

/** The device was read behind the kernel's back: what was read counts only if the kernel has the same chunks. */
function agrees(layout: Layout, figures: AllocationFigures): boolean {
  return (['data', 'metadata', 'system'] as const).every((kind) => totalOf(layout, kind) === figures[kind].totalBytes);
}

/** dump-tree met a block that had been overwritten. */
function isBrokenRead(error: unknown): boolean {
  return error instanceof CommandError && error.command.args.includes('dump-tree') && error.failure.exitCode === 1;
}

/** The kernel's figures. Throws `not-found` when the filesystem is not mounted. */
export async function liveAllocation(filesystemUUID: string): Promise<AllocationFigures> {
  const figures = await readAllocation(filesystemUUID);
  if (figures !== undefined) return figures;
  throw new StorageError('not-found', `filesystem ${filesystemUUID} is not mounted`);
}

/**
 * No balance and no resize runs or is paused: one that a killed process left behind, or a reboot (the filesystem was mounted with
 * `skip_balance`), is given up; what it moved stays moved. Throws `in-use` when another operation keeps the filesystem busy.
 */
export async function endLeftovers({ run, mountPath, filesystemUUID }: CompactTarget): Promise<void> {
  let operation: string | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    operation = await exclusiveOperation(filesystemUUID);
    if (operation === undefined || operation === 'none') return;
    if (operation.startsWith('balance')) await cancelBalance(run, mountPath);
    if (operation === 'resize') await cancelResize(run, mountPath);
    await delay(PAUSE_MS);
  }
  throw new StorageError('in-use', `could not resize the filesystem: btrfs is busy with "${operation}"`);
}
