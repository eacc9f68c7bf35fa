import { syncFilesystem } from '../../host/btrfs-filesystem.ts';
import type { Run } from '../../host/command.ts';
import { readSuperblock } from '../../host/superblock.ts';
import { StorageError } from '../errors.ts';

/**
 * Size in bytes of the filesystem at the mount point, which is on disk with it. Throws `damaged` (ImageTruncated) if its image no longer has a
 * superblock.
 */
export async function committedSize(run: Run, mountPath: string, imagePath: string): Promise<number> {
  await syncFilesystem(run, mountPath);
  return await sizeInImage(imagePath);
}

/** Size in bytes of the filesystem in the image as of its last commit. Throws as {@link committedSize}. */
export async function sizeInImage(imagePath: string): Promise<number> {
  const superblock = await readSuperblock(imagePath);
  if (superblock !== undefined) return superblock.totalBytes;
  throw new StorageError('damaged', `the image ${imagePath} has lost its superblock; put back a copy of it`, {
    reason: 'ImageTruncated',
  });
}
