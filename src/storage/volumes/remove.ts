import { rm } from 'node:fs/promises';
import { readSuperblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { removeRecord, syncDirectory } from '../records.ts';
import { detachDeletedImage, takeDown } from './bring-down.ts';
import { removeExported } from './export.ts';
import type { VolumePlace } from './observe.ts';

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
      const { record, image } = before;
      if (record !== undefined) await removeExported(storage, run, record);
      await refuseForeignImage(storage, before);
      await detachDeletedImage(storage, run, before);
      await rm(layout.stagedImagePath(uid), { force: true });
      await rm(layout.imagePath(uid), { force: true });
      await syncDirectory(layout.imagesPath);
      await removeRecord(layout, uid);
      storage.refusedOptions.delete(uid);
      return record === undefined && image === undefined ? 'was gone already' : 'removed';
    }),
  );
}

/** Ours is the file that we made (same inode), or one that holds the recorded filesystem (put back from a copy). */
async function refuseForeignImage(storage: Storage, { uid, record, image }: VolumePlace): Promise<void> {
  if (image === undefined || image.inode === record?.imageInode) return;
  const imagePath = storage.layout.imagePath(uid);
  const superblock = await readSuperblock(imagePath);
  if (record !== undefined && superblock?.filesystemUUID === record.filesystemUUID) return;
  throw new StorageError(
    'foreign',
    `the image ${imagePath} is not the one of this volume, so it is not deleted; move it away or delete it, then the deletion goes on`,
    { reason: 'ForeignFilesystem' },
  );
}
