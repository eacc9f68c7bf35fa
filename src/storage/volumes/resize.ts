import { stat } from 'node:fs/promises';
import { resizeFilesystem, syncFilesystem } from '../../host/btrfs-filesystem.ts';
import type { Run } from '../../host/command.ts';
import { syncFile, truncateFile } from '../../host/coreutils.ts';
import { readLoopCapacity, setLoopCapacity } from '../../host/losetup.ts';
import { observeSpace } from '../../host/space-info.ts';
import { type CompactResult, compactFilesystem, scratchBytes, spaceNeeded } from '../compact.ts';
import { isWrittenTo } from '../compact-observe.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
import { committedSize, sizeInImage } from './committed-size.ts';
import { type Image, observeVolume, type TreeMount } from './observe.ts';
import { doesNotFit, isBusy } from './resize-refusal.ts';

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
  /** Nothing is moved while files are written: what can be done beside a writer was done before. */
  readonly onlyWhenQuiet?: boolean;
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
 * The file is never smaller than the filesystem. Throws `out-of-space` (ShrinkDoesNotFit) when the data doesn't fit: then the
 * size is what it was; and `in-use` (BusyVolume) when the rest has to wait until nobody writes: what was reached is kept.
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
    if (targetBytes < work.tree.filesystemSizeBytes) await refuseWhileWritten(work, options);
    await saveRecord(storage.layout, withIntent(work, targetBytes));
    if (targetBytes >= work.tree.filesystemSizeBytes) await grow(work, targetBytes);
    else await shrinkOrGrowBack(storage, work, targetBytes, options);
    await settle(storage, work, record);
  });
}

/**
 * The volume is as large as its data and the headroom need, at least 256 MiB and at most its limit, and the record says
 * for which request. Interrupted, it goes on with what was reached. Throws as resizeVolume does.
 */
export async function minimizeVolume(
  storage: Storage,
  uid: string,
  wish: MinimizeRequest,
  options: ResizeOptions = {},
): Promise<void> {
  await withMounted(storage, uid, 'minimize the volume', options.signal, async (work) => {
    await refuseWhileWritten(work, options);
    await syncFilesystem(work.run, work.tree.path);
    const { neededBytes } = await spaceNeeded(targetOf(work));
    const ideal = Math.min(Math.max(neededBytes + wish.headroomBytes, MIN_RESIZE_BYTES), wish.limitBytes);
    const targetBytes = Math.ceil(ideal / SECTOR_BYTES) * SECTOR_BYTES;
    await saveRecord(storage.layout, withIntent(work, targetBytes));
    if (targetBytes >= work.tree.filesystemSizeBytes) await grow(work, targetBytes);
    else {
      const reached = await shrinkFilesystem(work, targetBytes, options);
      if (reached.sizeBytes > wish.limitBytes || reached.outcome === 'held-up') {
        const isWaiting = neededBytes <= wish.limitBytes && (await isHeldUp(work, reached));
        await settle(storage, work, work.record);
        throw isWaiting ? isBusy() : doesNotFit(Math.max(neededBytes, reached.sizeBytes), wish.limitBytes);
      }
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
      const { record, image, tree, loops } = await observeVolume(storage, uid);
      if (record === undefined || image === undefined || tree === undefined) {
        throw new StorageError('not-found', `could not ${what}: it is not mounted`, { reason: 'CommandFailed' });
      }
      const imagePath = storage.layout.imagePath(uid);
      // What would be cut is the file: it has to be the one behind the mount.
      if (!loops.some(({ path }) => path === tree.loopPath)) {
        throw new StorageError('foreign', `the image ${imagePath} is not the one that is mounted; put that one back`, {
          reason: 'ForeignFilesystem',
        });
      }
      // Somebody else may have resized it since the last commit.
      const filesystemSizeBytes = await committedSize(run, tree.path, imagePath);
      await resize({ run, record, image, tree: { ...tree, filesystemSizeBytes }, imagePath });
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
  const reached = mayFit ? await shrinkFilesystem(work, targetBytes, { ...options, exact: true }) : undefined;
  if (reached !== undefined && reached.sizeBytes <= targetBytes) return;
  const { neededBytes } = await spaceNeeded(targetOf(work));
  if (reached !== undefined && neededBytes <= targetBytes && (await isHeldUp(work, reached))) {
    await settle(storage, work, record);
    throw isBusy();
  }
  if (reached !== undefined && reached.sizeBytes < tree.filesystemSizeBytes) {
    await resizeFilesystem(run, tree.path, tree.filesystemSizeBytes);
  }
  await settle(storage, work, record);
  throw doesNotFit(Math.max(neededBytes, reached?.sizeBytes ?? 0), targetBytes);
}

/** What is not possible beside a writer is only known not to be possible when nobody writes. */
async function isHeldUp(work: Work, { outcome }: CompactResult): Promise<boolean> {
  return outcome === 'held-up' || (await isWrittenTo(targetOf(work)));
}

async function refuseWhileWritten(work: Work, { onlyWhenQuiet }: ResizeOptions): Promise<void> {
  if (onlyWhenQuiet && (await isWrittenTo(targetOf(work)))) throw isBusy();
}

/**
 * The filesystem is as near to the target as its data and those who write allow, and durably so; returns its real size. The kernel's
 * own resize only cuts off what is empty: where it finds no place for a chunk of metadata beyond the new end, it aborts the
 * transaction and the filesystem turns read-only (6.18).
 */
async function shrinkFilesystem(
  work: Work,
  targetBytes: number,
  options: ResizeOptions & { readonly exact?: boolean },
): Promise<CompactResult> {
  await extendCapacity(work);
  const result = await compactFilesystem({
    ...targetOf(work),
    stopAtBytes: targetBytes,
    exact: options.exact ?? false,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return { ...result, sizeBytes: await committedSize(work.run, work.tree.path, work.imagePath) };
}

/**
 * Moving chunks takes metadata, and where nearly all is allocated to data there is no place for any: then file and device are
 * longer than the filesystem meanwhile. The file's new length is on disk before the filesystem relies on it.
 */
async function extendCapacity({ run, record, imagePath, tree }: Work): Promise<void> {
  const sizeBytes = tree.filesystemSizeBytes;
  const space = await observeSpace(record.filesystemUUID, sizeBytes);
  const scratch = scratchBytes(sizeBytes);
  if (space === undefined || space.unallocatedBytes >= scratch || tree.capacityBytes >= sizeBytes + scratch) return;
  await truncateFile(run, imagePath, sizeBytes + scratch);
  await syncFile(run, imagePath);
  await setLoopCapacity(run, tree.loopPath);
}

/**
 * The file ends where the filesystem really ends, the device with it, all three are seen to agree, and the record says so.
 * The filesystem's size is on disk before the file loses its end.
 */
async function settle(storage: Storage, work: Work, record: VolumeRecord): Promise<void> {
  const { run, imagePath, tree } = work;
  const sizeBytes = await committedSize(work.run, work.tree.path, work.imagePath);
  let filesystem = sizeBytes;
  if ((await stat(imagePath)).size > sizeBytes) {
    await truncateFile(run, imagePath, sizeBytes);
    await setLoopCapacity(run, tree.loopPath);
    filesystem = await sizeInImage(imagePath);
  }
  const [file, device] = [(await stat(imagePath)).size, await readLoopCapacity(tree.loopPath)];
  if ([file, device, filesystem].some((size) => size !== sizeBytes)) {
    throw new StorageError(
      'failed',
      `after a resize the image has ${file} bytes, its loop device ${device}, the filesystem ${filesystem}`,
      { reason: 'CommandFailed' },
    );
  }
  const { resize: _, refusedShrink: __, minimized, ...settled } = record;
  await saveRecord(storage.layout, {
    ...settled,
    ...(minimized === undefined ? {} : { minimized: { ...minimized, sizeBytes } }),
    sizeBytes,
  });
}
