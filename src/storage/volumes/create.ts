import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { saveRecord, syncDirectory, type VolumeRecord } from '../records.ts';

export interface VolumeIdentity {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * A sparse image of this size is in its place, and a record that says that it may be formatted.
 * The image is made under a staging name and renamed after the record is durable, so an image in its place without a
 * record was never ours. Crash safe: what a half-done run leaves is the staging name, which the next run removes.
 * The caller saw neither image nor record. Throws `conflict` if an image is there all the same.
 */
export async function createImage(storage: Storage, identity: VolumeIdentity, sizeBytes: number): Promise<void> {
  await storage.withVolume(identity.uid, undefined, () =>
    attempt('make the image', async () => {
      const { layout } = storage;
      const stagedPath = layout.stagedImagePath(identity.uid);
      const imagePath = layout.imagePath(identity.uid);
      await refuseExisting(imagePath);
      await rm(stagedPath, { force: true });
      const record: VolumeRecord = {
        schemaVersion: 1,
        kind: 'LoopbackVolume',
        ...identity,
        createdAt: new Date().toISOString(),
        filesystemUUID: randomUUID(),
        imageInode: await makeSparseFile(stagedPath, sizeBytes),
        initialized: false,
        sizeBytes,
      };
      try {
        await saveRecord(layout, record);
      } catch (error) {
        await rm(stagedPath, { force: true });
        throw error;
      }
      await rename(stagedPath, imagePath);
      await syncDirectory(layout.imagesPath);
    }),
  );
}

/** Finishes an interrupted {@link createImage}: the staged image that the record names goes to its place, or is made anew. */
export async function restoreStagedImage(storage: Storage, record: VolumeRecord): Promise<void> {
  const { layout } = storage;
  const stagedPath = layout.stagedImagePath(record.uid);
  await storage.withVolume(record.uid, undefined, () =>
    attempt('finish the image', async () => {
      await refuseExisting(layout.imagePath(record.uid));
      await rm(stagedPath, { force: true });
      const imageInode = await makeSparseFile(stagedPath, record.sizeBytes);
      // What was in the lost image is not in this one.
      const { tree: _, ...blank } = record;
      await saveRecord(layout, { ...blank, imageInode });
      await rename(stagedPath, layout.imagePath(record.uid));
      await syncDirectory(layout.imagesPath);
    }),
  );
}

async function makeSparseFile(path: string, sizeBytes: number): Promise<number> {
  await using file = await open(path, 'wx', 0o600);
  await file.truncate(sizeBytes);
  await file.sync();
  return (await file.stat()).ino;
}

async function refuseExisting(imagePath: string): Promise<void> {
  const existing = await open(imagePath, 'r').catch(() => undefined);
  if (existing === undefined) return;
  await existing.close();
  throw new StorageError('conflict', `an image is at ${imagePath} already; it is left as it is`, {
    reason: 'ForeignFilesystem',
  });
}
