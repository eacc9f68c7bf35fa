import { stat } from 'node:fs/promises';
import { resizeFilesystem, syncFilesystem } from '../../host/btrfs-filesystem.ts';
import type { Run } from '../../host/command.ts';
import { readFilesystemSize, syncFile, truncateFile } from '../../host/coreutils.ts';
import { readLoopCapacity, setLoopCapacity } from '../../host/losetup.ts';
import { observeSpace } from '../../host/space-info.ts';
import { compactFilesystem, spaceNeeded } from '../compact.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
import { type Image, observeVolume, type TreeMount } from './observe.ts';

/** The kernel refuses a size below this, up or down (fs/btrfs/ioctl.c, btrfs_ioctl_resize). */
export const MIN_RESIZE_BYTES = 256 * 1024 * 1024;
const SECTOR_BYTES = 4096;

export interface ResizeProgress {
  readonly phase: string;
  readonly sizeBytes: number;
  readonly movedBytes: number;
}

export interface ResizeOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: ResizeProgress) => void;
  /** The request of the minimizing that the size belongs to; a record of any other is forgotten. */
  readonly minimizeRequest?: string | undefined;
}

export interface MinimizeRequest {
  /** What the wish is recognised by: the same request is carried out once. */
  readonly request: string;
  /** Generation of the object that asked. */
  readonly generation: number;
  readonly headroomBytes: number;
  /** The volume's limit: a minimized volume is never larger. */
  readonly limitBytes: number;
}

/**
 * Image, loop device and filesystem have this size; online, journalled, from whatever an interrupted resize left (rule 6).
 * The file is never smaller than the filesystem. Throws `out-of-space` (ShrinkDoesNotFit) when the data doesn't fit:
 * then the size is what it was.
 */
export async function resizeVolume(
  storage: Storage,
  uid: string,
  targetBytes: number,
  options: ResizeOptions = {},
): Promise<void> {
  await withMounted(storage, uid, 'resize the volume', options.signal, async (work) => {
    const { minimized, ...others } = work.record;
    const belongs = minimized !== undefined && minimized.request === options.minimizeRequest;
    const record = belongs ? { ...others, minimized } : others;
    await saveRecord(storage.layout, withIntent(work, targetBytes));
    if (targetBytes >= work.tree.filesystemSizeBytes) await grow(work, targetBytes);
    else await shrinkOrGrowBack(storage, work, targetBytes, options);
    await settle(storage, work, record);
  });
}

/**
 * The volume is as large as its data and the headroom need, at least 256 MiB and at most its limit, and the record says
 * for which request. Interrupted, it goes on with what was reached.
 */
export async function minimizeVolume(
  storage: Storage,
  uid: string,
  wish: MinimizeRequest,
  options: ResizeOptions = {},
): Promise<void> {
  await withMounted(storage, uid, 'minimize the volume', options.signal, async (work) => {
    await syncFilesystem(work.run, work.tree.path);
    const { neededBytes } = await spaceNeeded(targetOf(work));
    const ideal = Math.min(Math.max(neededBytes + wish.headroomBytes, MIN_RESIZE_BYTES), wish.limitBytes);
    const targetBytes = Math.ceil(ideal / SECTOR_BYTES) * SECTOR_BYTES;
    await saveRecord(storage.layout, withIntent(work, targetBytes));
    if (targetBytes >= work.tree.filesystemSizeBytes) await grow(work, targetBytes);
    else if ((await shrinkFilesystem(work, targetBytes, options)) > wish.limitBytes) {
      await settle(storage, work, work.record);
      throw doesNotFit(neededBytes, wish.limitBytes);
    }
    const { request, generation } = wish;
    await settle(storage, work, { ...work.record, minimized: { request, generation, sizeBytes: targetBytes } });
  });
}

/** The record while file and filesystem may disagree. */
function withIntent({ record, tree }: Work, toBytes: number): VolumeRecord {
  return { ...record, resize: { fromBytes: tree.filesystemSizeBytes, toBytes } };
}

interface Work {
  readonly run: Run;
  readonly record: VolumeRecord;
  readonly image: Image;
  readonly imagePath: string;
  readonly tree: TreeMount;
}

async function withMounted(
  storage: Storage,
  uid: string,
  what: string,
  signal: AbortSignal | undefined,
  resize: (work: Work) => Promise<void>,
): Promise<void> {
  await storage.withVolume(uid, signal, (run) =>
    attempt(what, async () => {
      const { record, image, tree } = await observeVolume(storage, uid);
      if (record === undefined || image === undefined || tree === undefined) {
        throw new StorageError('not-found', `could not ${what}: it is not mounted`, { reason: 'CommandFailed' });
      }
      await resize({ run, record, image, tree, imagePath: storage.layout.imagePath(uid) });
    }),
  );
}

function targetOf({ run, record, tree }: Work) {
  return { run, devicePath: tree.loopPath, mountPath: tree.path, filesystemUUID: record.filesystemUUID };
}

/** File, then capacity, then filesystem. The file's new length is on disk before the filesystem relies on it. */
async function grow({ run, image, imagePath, tree }: Work, targetBytes: number): Promise<void> {
  const fileBytes = Math.max(targetBytes, image.sizeBytes);
  if (image.sizeBytes < fileBytes) {
    await truncateFile(run, imagePath, fileBytes);
    await syncFile(run, imagePath);
  }
  if (tree.capacityBytes !== fileBytes) await setLoopCapacity(run, tree.loopPath);
  if (tree.filesystemSizeBytes === targetBytes) return;
  await resizeFilesystem(run, tree.path, fileBytes === targetBytes ? 'max' : targetBytes);
}

async function shrinkOrGrowBack(
  storage: Storage,
  work: Work,
  targetBytes: number,
  options: ResizeOptions,
): Promise<void> {
  const { run, tree, record } = work;
  const space = await observeSpace(record.filesystemUUID, tree.filesystemSizeBytes);
  const mayFit = space === undefined || space.usedBytes <= targetBytes;
  const reachedBytes = mayFit ? await shrinkFilesystem(work, targetBytes, options) : undefined;
  if (reachedBytes !== undefined && reachedBytes <= targetBytes) return;
  if (reachedBytes !== undefined && reachedBytes < tree.filesystemSizeBytes) {
    await resizeFilesystem(run, tree.path, tree.filesystemSizeBytes);
  }
  const { resize: _, ...unchanged } = record;
  await saveRecord(storage.layout, unchanged);
  const { neededBytes } = await spaceNeeded(targetOf(work));
  throw doesNotFit(Math.max(neededBytes, reachedBytes ?? 0), targetBytes);
}

function doesNotFit(neededBytes: number, targetBytes: number): StorageError {
  const needed = toMebibytes(neededBytes);
  return new StorageError(
    'out-of-space',
    `the data needs about ${needed}Mi and does not fit into ${toMebibytes(targetBytes)}Mi; delete data, or ask for more`,
    { reason: 'ShrinkDoesNotFit' },
  );
}

/**
 * The filesystem is as near to the target as its data allows, and durably so; returns its real size in bytes. The kernel's
 * own resize only cuts off what is empty: where it finds no place for a chunk of metadata beyond the new end, it aborts the
 * transaction and the filesystem turns read-only (6.18).
 */
async function shrinkFilesystem(work: Work, targetBytes: number, options: ResizeOptions): Promise<number> {
  const { run, tree } = work;
  await compactFilesystem({
    ...targetOf(work),
    stopAtBytes: targetBytes,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  await syncFilesystem(run, tree.path);
  return await readFilesystemSize(run, tree.path);
}

/**
 * The file ends where the filesystem really ends, the device with it, all three are seen to agree, and the record says so.
 * The filesystem's size is on disk before the file loses its end.
 */
async function settle(storage: Storage, { run, imagePath, tree }: Work, record: VolumeRecord): Promise<void> {
  const sizeBytes = await readFilesystemSize(run, tree.path);
  let filesystem = sizeBytes;
  if ((await stat(imagePath)).size > sizeBytes) {
    await truncateFile(run, imagePath, sizeBytes);
    await setLoopCapacity(run, tree.loopPath);
    filesystem = await readFilesystemSize(run, tree.path);
  }
  const [file, device] = [(await stat(imagePath)).size, await readLoopCapacity(tree.loopPath)];
  if ([file, device, filesystem].some((size) => size !== sizeBytes)) {
    throw new StorageError(
      'failed',
      `after a resize the image has ${file} bytes, its loop device ${device}, the filesystem ${filesystem}`,
      { reason: 'CommandFailed' },
    );
  }
  const { resize: _, minimized, ...settled } = record;
  await saveRecord(storage.layout, {
    ...settled,
    ...(minimized === undefined ? {} : { minimized: { ...minimized, sizeBytes } }),
    sizeBytes,
  });
}

function toMebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2);
}
