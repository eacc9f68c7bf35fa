import { readdir } from 'node:fs/promises';
import { probeContent } from '../../host/blkid.ts';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { readSuperblock } from '../../host/superblock.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { loadRecord, type VolumeRecord } from '../records.ts';
import type { Image } from './observe.ts';

/**
 * The image holds the recorded filesystem, whole: its superblock has the recorded UUID and the file is no smaller than
 * the filesystem. Read before anything is attached, mounted or written.
 * Throws `foreign` (ForeignFilesystem, DuplicateFilesystem) or `damaged` (FilesystemDamaged, ImageTruncated).
 */
export async function proveImage(storage: Storage, run: Run, record: VolumeRecord, image: Image): Promise<void> {
  const imagePath = storage.layout.imagePath(record.uid);
  const superblock = await readSuperblock(imagePath);
  if (superblock === undefined) throw await withoutSuperblock(run, imagePath, image.inode === record.imageInode);
  if (superblock.filesystemUUID !== record.filesystemUUID)
    throw await otherFilesystem(storage, record, superblock.filesystemUUID);
  if (superblock.totalBytes > image.sizeBytes) {
    throw new StorageError(
      'damaged',
      `the image has ${image.sizeBytes} bytes and its filesystem ${superblock.totalBytes}: its end is missing; put back a copy of the image ${imagePath}`,
      { reason: 'ImageTruncated' },
    );
  }
}

/**
 * The image is the one that the record was made for, and holds nothing but what an interrupted format of ours may have
 * left: only that is ever formatted (rule 2). Throws `foreign` (ForeignFilesystem).
 */
export async function proveUnformatted(storage: Storage, run: Run, record: VolumeRecord, image: Image): Promise<void> {
  const imagePath = storage.layout.imagePath(record.uid);
  if (image.inode !== record.imageInode) throw foreign(imagePath, 'is not the one that was made for this volume');
  if (image.allocatedBytes === 0) return;
  const superblock = await readSuperblock(imagePath);
  const ours = [superblock?.filesystemUUID, superblock?.label].includes(record.filesystemUUID);
  const found = superblock === undefined ? await probeContent(run, imagePath) : 'another btrfs';
  if (!ours && found !== undefined) throw foreign(imagePath, `holds ${found}, which the operator did not make`);
}

function foreign(imagePath: string, why: string): StorageError {
  return new StorageError('foreign', `the image ${imagePath} ${why}; it is left as it is. Move it away`, {
    reason: 'ForeignFilesystem',
  });
}

async function withoutSuperblock(run: Run, imagePath: string, isOurFile: boolean): Promise<StorageError> {
  const probed = await probeContent(run, imagePath);
  const found = probed === undefined || probed === 'btrfs' ? undefined : probed;
  if (found !== undefined || !isOurFile) {
    return new StorageError(
      'foreign',
      `the image ${imagePath} holds ${found ?? 'no file system'}, not the btrfs of this volume; it is left as it is. Put back the right image`,
      { reason: 'ForeignFilesystem' },
    );
  }
  return new StorageError(
    'damaged',
    `the image ${imagePath} has no btrfs superblock; it is left as it is. Try btrfs rescue super-recover on a copy, or put back a copy`,
    { reason: 'FilesystemDamaged' },
  );
}

async function otherFilesystem(storage: Storage, record: VolumeRecord, found: string): Promise<StorageError> {
  const imagePath = storage.layout.imagePath(record.uid);
  const twin = (await liveDevices(found)) !== undefined || (await recordedElsewhere(storage, found));
  if (twin) {
    return new StorageError(
      'foreign',
      `the image ${imagePath} is a copy of another volume (filesystem UUID ${found}); two of them can't be mounted at once. Put back the right image, or give the copy a UUID of its own with btrfstune -m`,
      { reason: 'DuplicateFilesystem' },
    );
  }
  return new StorageError(
    'foreign',
    `the image ${imagePath} holds the btrfs ${found}, not ${record.filesystemUUID} of this volume; it is left as it is. Put back the right image`,
    { reason: 'ForeignFilesystem' },
  );
}

async function recordedElsewhere(storage: Storage, filesystemUUID: string): Promise<boolean> {
  const names = (await readdir(storage.layout.recordsPath)).filter((name) => name.endsWith('.json'));
  const records = await Promise.all(
    names.map((name) => loadRecord(storage.layout, name.slice(0, -'.json'.length)).catch(() => undefined)),
  );
  return records.some((record) => record?.filesystemUUID === filesystemUUID);
}

/**
 * No other device is the live filesystem of this UUID, and the image has one loop device at most (rule 12).
 * Throws `in-use` (StillInUse) or `foreign` (DuplicateFilesystem).
 */
export function proveSingleDevice(
  record: VolumeRecord,
  loops: readonly { path: string; autoclear: boolean }[],
  live: readonly string[] | undefined,
): void {
  const first = loops[0];
  if (loops.length > 1 || first?.autoclear === true) {
    const names = loops.map((loop) => loop.path).join(', ');
    throw new StorageError(
      'in-use',
      `the image is attached to ${names}${first?.autoclear ? ' and about to be detached' : ''}; something outside of the operator still uses it. End that first`,
      { reason: 'StillInUse' },
    );
  }
  const others = live?.filter((name) => `/dev/${name}` !== first?.path) ?? [];
  if (others.length > 0) {
    throw new StorageError(
      'foreign',
      `filesystem UUID ${record.filesystemUUID} is mounted from ${others.map((name) => `/dev/${name}`).join(', ')} already: a copy of this image. Unmount it, or give it a UUID of its own with btrfstune -m`,
      { reason: 'DuplicateFilesystem' },
    );
  }
}
