import { rm } from 'node:fs/promises';
import { probeContent } from '../../host/blkid.ts';
import type { Run } from '../../host/command.ts';
import { readSuperblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { removeRecord, syncDirectory } from '../records.ts';
import { detachDeletedImage, takeDown } from './bring-down.ts';
import { removeExported } from './export.ts';
import type { VolumeRemains } from './observe.ts';

/**
 * Nothing of the volume is left on the node: mount, loop device, image, record. Resumable at every step and safe to repeat;
 * the record goes last, so that what a half-done run leaves is still known. Throws `in-use` while anything uses it, and
 * `foreign` when the image in its place is not the one that this volume was made with: that is not ours to delete.
 * Says whether there was anything to remove.
 */
export async function removeVolume(
  storage: Storage,
  uid: string,
  signal?: AbortSignal,
): Promise<'removed' | 'was gone already'> {
  return await storage.withVolume(uid, signal, (run) =>
    attempt('remove the volume', async () => {
      const { layout } = storage;
      const before = await takeDown(storage, run, uid);
      const { record, damage, image } = before;
      await removeExported(storage, run, uid);
      await refuseForeignImage(storage, run, before);
      await detachDeletedImage(storage, run, before);
      await rm(layout.stagedImagePath(uid), { force: true });
      await rm(layout.imagePath(uid), { force: true });
      await syncDirectory(layout.imagesPath);
      await removeRecord(layout, uid);
      storage.refusedOptions.delete(uid);
      return record === undefined && damage === undefined && image === undefined ? 'was gone already' : 'removed';
    }),
  );
}

/**
 * Ours is the file that we made (same inode), or one that holds the recorded filesystem (put back from a copy). Where neither can be
 * read any more it is what is in our place and holds a btrfs, or nothing.
 */
async function refuseForeignImage(storage: Storage, run: Run, place: VolumeRemains): Promise<void> {
  const { uid, record, damage, image } = place;
  const { imageInode, filesystemUUID } = record ?? damage?.fields ?? {};
  if (image === undefined || image.inode === imageInode) return;
  const imagePath = storage.layout.imagePath(uid);
  const superblock = await readSuperblock(imagePath);
  if (superblock !== undefined && superblock.filesystemUUID === filesystemUUID) return;
  const isUnknown = damage !== undefined && imageInode === undefined && filesystemUUID === undefined;
  if (isUnknown && ['btrfs', undefined].includes(await probeContent(run, imagePath))) return;
  throw new StorageError(
    'foreign',
    `the image ${imagePath} is not the one of this volume, so it is not deleted; move it away or delete it, then the deletion goes on`,
    { reason: 'ForeignFilesystem' },
  );
}
