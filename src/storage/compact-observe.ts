import { setTimeout as delay } from 'node:timers/promises';
import { readChunkUsage } from '../host/block-group-usage.ts';
import { cancelBalance, exclusiveOperation } from '../host/btrfs-balance.ts';
import { cancelResize, syncFilesystem } from '../host/btrfs-filesystem.ts';
import { readChunkTree } from '../host/chunk-tree.ts';
import { CommandError, type Run } from '../host/command.ts';
import { readLoopCapacity } from '../host/losetup.ts';
import { type AllocationFigures, readAllocation } from '../host/space-info.ts';
import { readDeviceSuperblock, type Superblock } from '../host/superblock.ts';
import { UnexpectedOutputError } from '../host/unexpected-output.ts';
import { type Layout, totalOf } from './compact-layout.ts';
import { StorageError } from './errors.ts';

/** Trees change under a reader when files are written; each attempt starts from a new commit. */
const ATTEMPTS = 60;
const PAUSE_MS = 200;
/** The kernel's own work after a move takes a commit or two. */
const QUIET_ATTEMPTS = 3;
/** Long enough to see most who write now and then, too. */
const QUIET_MS = 500;

/** A mounted btrfs on one loop device. */
export interface CompactTarget {
  /** Ends with the signal of the caller. */
  readonly run: Run;
  readonly devicePath: string;
  /** A mount point of it below which only root writes. */
  readonly mountPath: string;
  readonly filesystemUUID: string;
}

/** Where everything is, as of a commit made for it. Throws `in-use` (BusyVolume) when files change faster than it can be read. */
export async function observeLayout(target: CompactTarget): Promise<Layout> {
  for (let attempt = 1; ; attempt++) {
    await syncFilesystem(target.run, target.mountPath);
    const layout = await tryObserve(target);
    if (layout !== undefined) return layout;
    if (attempt === ATTEMPTS)
      throw new StorageError(
        'in-use',
        'could not read the chunk tree: files are written all the time; it is tried again by itself',
        { reason: 'BusyVolume' },
      );
    await delay(PAUSE_MS);
  }
}

/** True if commits keep following each other and leave no quiet of `quietMs`: someone writes, or the kernel itself has much to do. */
export async function isWrittenTo(target: CompactTarget, quietMs = QUIET_MS): Promise<boolean> {
  let last = (await commit(target)).generation;
  for (let quiet = 0, busy = 0; busy < QUIET_ATTEMPTS; ) {
    await delay(QUIET_MS);
    const now = (await commit(target)).generation;
    if (now === last) quiet += QUIET_MS;
    else {
      quiet = 0;
      busy++;
    }
    if (quiet >= quietMs) return false;
    last = now;
  }
  return true;
}

/** The superblock of the last commit, with all in it that was written before; without anything written there is no new one. */
export async function commit({ run, mountPath, devicePath }: CompactTarget): Promise<Superblock> {
  await syncFilesystem(run, mountPath);
  // NOTE: not `generation` of sysfs, which counts a transaction from its begin: who writes all the time has one as soon as the last is committed.
  const superblock = await readDeviceSuperblock(run, devicePath);
  if (superblock === undefined) throw new StorageError('damaged', `the filesystem on ${devicePath} has no superblock`);
  return superblock;
}

/** True for what can't be done because files are written: it can when that ends. */
export function isBusyVolume(error: unknown): boolean {
  return error instanceof StorageError && error.reason === 'BusyVolume';
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

/** False once the kernel has other chunks than the layout: someone who writes may have a place that was free in it. */
export async function hasChunksOf({ filesystemUUID }: CompactTarget, layout: Layout): Promise<boolean> {
  return agrees(layout, await liveAllocation(filesystemUUID));
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
