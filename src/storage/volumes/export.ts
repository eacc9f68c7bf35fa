import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFilesystem } from '../../host/btrfs-filesystem.ts';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { syncFile } from '../../host/coreutils.ts';
import { sha256OfFile } from '../../host/digest.ts';
import { renewFilesystemUUID, setDefaultSubvolume } from '../../host/image.ts';
import { attachLoopDevice, detachLoopDevice } from '../../host/losetup.ts';
import { mountBtrfs } from '../../host/mount.ts';
import { showSubvolume } from '../../host/subvolume.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { exportPathsOf, isWholeExport, removeExports } from '../exports.ts';
import { FOREIGN_OPTIONS } from '../foreign-mount.ts';
import { DATA_NAME } from '../layout.ts';
import { ensurePrivateDirectory, isErrno, saveRecord, syncDirectory, type VolumeRecord } from '../records.ts';
import { copyImage } from './copy-image.ts';
import { proveImage } from './identify.ts';
import { isLinked, majorMinor, observePlace } from './observe.ts';
import { removeTop } from './top-mount.ts';

/** No name of a file to export begins with a dot. */
const PARTIAL_NAME = '.partial';

export interface ExportTarget {
  readonly namespaceUid: string;
  readonly file: string;
}

export interface ExportProgress {
  readonly phase: 'copying' | 'digesting';
  readonly sizeBytes: number;
  readonly movedBytes: number;
}

export interface ExportOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ExportProgress) => void;
}

/**
 * The exported file is in its place, whole and on disk, and the record has its digest: a copy of the image with a UUID of its own
 * and `data/` as its default subvolume. It is the only file there. What a broken run leaves has a name of its own, and goes with the
 * next run or {@link removeExport}. The volume has to be down. Throws `in-use` if it is not.
 */
export async function exportImage(
  storage: Storage,
  uid: string,
  target: ExportTarget,
  options: ExportOptions,
): Promise<void> {
  await storage.withVolume(uid, options.signal, (run, uninterrupted) =>
    attempt('export the image', async () => {
      const record = await proveDown(storage, run, uid);
      await removeExported(storage, run, uid);
      const { export: _, ...unexported } = record;
      await saveRecord(storage.layout, { ...unexported, export: target });
      const directory = storage.layout.exportPath(target.namespaceUid, uid);
      await mkdir(dirname(directory), { recursive: true, mode: 0o700 });
      await ensurePrivateDirectory(directory);
      const partialPath = join(directory, PARTIAL_NAME);
      let filesystemUUID: string;
      try {
        filesystemUUID = await copy(storage, run, record, partialPath, options);
      } catch (error) {
        await release(storage, uninterrupted, uid, partialPath)
          .then(() => rm(partialPath, { force: true }))
          .catch(() => undefined);
        throw error;
      }
      const { size: sizeBytes } = await stat(partialPath);
      const sha256 = await sha256OfFile(partialPath, options.signal, (movedBytes) =>
        options.onProgress({ phase: 'digesting', sizeBytes, movedBytes }),
      );
      await rename(partialPath, join(directory, target.file));
      await syncDirectory(directory);
      const done = { sizeBytes, sha256, filesystemUUID, exportedAt: new Date().toISOString() };
      await saveRecord(storage.layout, { ...unexported, export: { ...target, done } });
    }),
  );
}

/** Nothing of the image moves while it is copied: no mount, no device. */
async function proveDown(storage: Storage, run: Run, uid: string): Promise<VolumeRecord> {
  const { record, image, mount, loops, liveDevices: live } = await observePlace(storage, uid);
  if (record === undefined || image === undefined || !record.initialized) {
    throw new StorageError('not-ready', 'there is no whole image to export', { reason: 'BackingFileMissing' });
  }
  if (mount !== undefined || loops.length > 0 || live !== undefined) {
    throw new StorageError('in-use', 'the image is attached, so it is not exported; see condition Mounted', {
      reason: 'StillInUse',
    });
  }
  await proveImage(storage, run, record, image);
  return record;
}

/**
 * Returns the UUID of the copy.
 * NOTE: until it has a UUID of its own the copy must not be attached: two of one UUID are one to the kernel.
 */
async function copy(
  storage: Storage,
  run: Run,
  { uid, tree }: VolumeRecord,
  partialPath: string,
  { onProgress }: ExportOptions,
): Promise<string> {
  if (tree === undefined) throw new StorageError('damaged', 'the record names no tree', { reason: 'RecordDamaged' });
  const imagePath = storage.layout.imagePath(uid);
  const { size: sizeBytes } = await stat(imagePath);
  await copyImage(run, imagePath, partialPath, (movedBytes) => onProgress({ phase: 'copying', sizeBytes, movedBytes }));
  const filesystemUUID = await renewFilesystemUUID(run, partialPath);
  const topPath = storage.layout.topPath(uid);
  await mkdir(topPath, { mode: 0o700 });
  const loopPath = await attachLoopDevice(run, partialPath, {});
  await mountBtrfs(run, loopPath, topPath, [...FOREIGN_OPTIONS, `subvolid=${tree.id}`]);
  const data = await showSubvolume(run, `${topPath}/${DATA_NAME}`);
  await setDefaultSubvolume(run, data.id, topPath);
  await syncFilesystem(run, topPath);
  await release(storage, run, uid, partialPath);
  if ((await liveDevices(filesystemUUID)) !== undefined) {
    throw new StorageError('in-use', 'the copy of the image is still mounted somewhere', { reason: 'StillInUse' });
  }
  await syncFile(run, partialPath);
  return filesystemUUID;
}

/** The copy is neither mounted nor attached; safe to repeat. */
async function release(storage: Storage, run: Run, uid: string, partialPath: string): Promise<void> {
  await removeTop(storage, run, uid);
  const stats = await stat(partialPath).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (stats === undefined) return;
  const device = majorMinor(stats.dev);
  const loops = (await storage.loopDevices({ name: basename(partialPath), isLinked: isLinked(stats) })).filter(
    ({ backingDevice, backingInode }) => backingDevice === device && backingInode === stats.ino,
  );
  for (const { path } of loops) await detachLoopDevice(run, path);
}

/** The exported file is gone, and so is what a broken export left; safe to repeat. The record no longer tells of it. */
export async function removeExport(storage: Storage, uid: string, signal?: AbortSignal): Promise<void> {
  await storage.withVolume(uid, signal, (run) =>
    attempt('remove the exported file', async () => {
      const { record } = await observePlace(storage, uid);
      if (record?.export === undefined) return;
      await removeExported(storage, run, uid);
      const { export: _, ...unexported } = record;
      await saveRecord(storage.layout, unexported);
    }),
  );
}

/** {@link removeExport} for a caller that has the volume's lock and takes care of the record, which is not asked where they are. */
export async function removeExported(
  storage: Storage,
  run: Run,
  uid: string,
  isKept?: (name: string) => boolean,
): Promise<'removed' | 'was gone already'> {
  for (const directory of await exportPathsOf(storage, uid)) {
    await release(storage, run, uid, join(directory, PARTIAL_NAME));
  }
  return await removeExports(storage, uid, isKept);
}

/** Of exports of an object that is gone only whole files are left. The caller has proven that it is gone. */
export async function removeUnfinishedExports(
  storage: Storage,
  uid: string,
  signal?: AbortSignal,
): Promise<'removed' | 'was gone already'> {
  return await storage.withVolume(uid, signal, (run) =>
    attempt('remove an unfinished export', () => removeExported(storage, run, uid, isWholeExport)),
  );
}
