import { open, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { resizeFilesystem, syncFilesystem } from '../../host/btrfs-filesystem.ts';
import { readDataProfiles } from '../../host/btrfs-sysfs.ts';
import { CommandError, type Run } from '../../host/command.ts';
import { syncFile, truncateFile } from '../../host/coreutils.ts';
import { sha256OfFile } from '../../host/digest.ts';
import { renewFilesystemUUID } from '../../host/image.ts';
import { readSuperblock, type Superblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
import { attachOnce, holdDevice } from './attach.ts';
import { takeDown } from './bring-down.ts';
import { copyImage, watchAllocated } from './copy-image.ts';
import { giveUp, sourceDoesNotFit } from './fill.ts';
import type { VolumeSettings } from './format.ts';
import { plantTree, withTopMounted } from './plant-tree.ts';
import { MIN_RESIZE_BYTES } from './resize.ts';
import { writeSparse } from './write-sparse.ts';

/** A file on the node's own filesystem. */
export interface ImageFile {
  readonly path: string;
  readonly sha256: string | undefined;
}

/** A stream has checked its sha256 when it ends. */
export type ImageSource = ImageFile | { readonly stream: Readable };

export interface ImportOptions {
  readonly settings: VolumeSettings;
  /** Size of the volume: the image's filesystem has to be no larger, and grows to it. */
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  readonly onBytes: (bytes: number) => void;
}

/**
 * The volume has a copy of the image, with a UUID of its own, and the operator's tree in it, whose `data/` is a writable snapshot
 * of the default subvolume; no other subvolume is left. The record says that it is whole after all of it is on disk: before that
 * the next run begins anew. Throws `refused` (ImageRefused, ChecksumMismatch) or `out-of-space` (SourceDoesNotFit).
 */
export async function importImage(
  storage: Storage,
  uid: string,
  source: ImageSource,
  options: ImportOptions,
): Promise<void> {
  await storage.withVolume(uid, options.signal, (run, uninterrupted) =>
    attempt('import the image', async () => {
      const { record, image } = await takeDown(storage, run, uid);
      if (record === undefined || image === undefined || image.inode !== record.imageInode) {
        throw new StorageError('conflict', 'the image of the volume is not the one that it was made with', {
          reason: 'ForeignFilesystem',
        });
      }
      if (record.initialized) return;
      if ('path' in source) {
        const { size } = await stat(source.path);
        proveImportable(await readSuperblock(source.path), size, options.sizeBytes);
      }
      const { tree: _, ...blank } = record;
      await saveRecord(storage.layout, blank);
      try {
        const renamed = { ...blank, filesystemUUID: await copy(storage, run, uid, source, options) };
        await saveRecord(storage.layout, renamed);
        await adopt(storage, run, renamed, options);
      } catch (error) {
        await giveUp(storage, uninterrupted, uid).catch(() => undefined);
        throw error;
      }
    }),
  );
}

/** Returns the UUID of the copy, which is not attached before the record has it. */
async function copy(
  { layout }: Storage,
  run: Run,
  uid: string,
  source: ImageSource,
  { sizeBytes, signal, onBytes }: ImportOptions,
): Promise<string> {
  const imagePath = layout.imagePath(uid);
  if ('path' in source) await copyFile(run, source, imagePath, { signal, onBytes });
  else {
    using _look = watchAllocated(imagePath, onBytes);
    await using file = await open(imagePath, 'r+');
    await writeSparse(source.stream, file, sizeBytes);
  }
  // What was copied counts, not what was looked at before.
  const superblock = proveImportable(await readSuperblock(imagePath), (await stat(imagePath)).size, sizeBytes);
  const filesystemUUID = await renewFilesystemUUID(run, imagePath).catch((error: unknown) => {
    throw error instanceof CommandError && error.failure.exitCode === 1 ? noWholeFilesystem(error) : error;
  });
  await truncateFile(run, imagePath, targetOf(superblock, sizeBytes));
  await syncFile(run, imagePath);
  return filesystemUUID;
}

async function copyFile(
  run: Run,
  { path, sha256 }: ImageFile,
  imagePath: string,
  { signal, onBytes }: Pick<ImportOptions, 'signal' | 'onBytes'>,
): Promise<void> {
  await copyImage(run, path, imagePath, onBytes);
  if (sha256 === undefined) return;
  const found = await sha256OfFile(imagePath, signal);
  if (found === sha256) return;
  throw new StorageError(
    'refused',
    `the image has sha256 ${found}, and the spec says ${sha256}; put the right one there`,
    { reason: 'ChecksumMismatch' },
  );
}

/** The kernel makes no filesystem larger that is, or becomes, smaller than 256 MiB. */
function targetOf({ totalBytes }: Superblock, sizeBytes: number): number {
  return sizeBytes < MIN_RESIZE_BYTES ? totalBytes : sizeBytes;
}

/** One device, all of it there, no larger than the volume, and of a make whose sizes are those of a volume. */
function proveImportable(superblock: Superblock | undefined, fileBytes: number, sizeBytes: number): Superblock {
  if (superblock === undefined) throw imageRefused('it has no btrfs superblock');
  const { deviceCount, isSeed, isMixed, sectorBytes, totalBytes } = superblock;
  if (deviceCount !== 1) throw imageRefused(`its file system needs ${deviceCount} devices, a volume has one`);
  if (isSeed) throw imageRefused('it is a seed, which can not be written to');
  if (isMixed) throw imageRefused('its block groups are mixed', 'make one without mkfs.btrfs --mixed');
  if (sizeBytes % sectorBytes !== 0) {
    throw imageRefused(
      `its sectors have ${sectorBytes} bytes, and the volume's size, ${sizeBytes}, is no multiple of that`,
      'make the volume with a size that is',
    );
  }
  if (totalBytes > fileBytes) {
    throw imageRefused(`it has ${fileBytes} bytes and its file system ${totalBytes}: its end is missing`);
  }
  if (totalBytes > sizeBytes) throw sourceDoesNotFit(totalBytes, sizeBytes);
  return superblock;
}

function imageRefused(why: string, advice = 'put another one in its place', cause?: unknown): StorageError {
  return new StorageError('refused', `could not take the image: ${why}; ${advice}`, {
    reason: 'ImageRefused',
    cause,
  });
}

function noWholeFilesystem(cause: CommandError): StorageError {
  return imageRefused(`it is no whole btrfs (${cause.failure.stderrTail})`, undefined, cause);
}

/** The copy becomes a volume: tree, data/ and size, on disk before the record says so. */
async function adopt(
  storage: Storage,
  run: Run,
  record: VolumeRecord,
  { settings, sizeBytes }: ImportOptions,
): Promise<void> {
  const { uid } = record;
  const imagePath = storage.layout.imagePath(uid);
  const { ino } = await stat(imagePath);
  const loopPath = await attachOnce(storage, run, uid, ino);
  await using _device = await holdDevice(storage, loopPath, uid);
  const tree = await withTopMounted(storage, run, { uid, loopPath }, async (topPath, defaultPath) => {
    const profiles = (await readDataProfiles(record.filesystemUUID)).filter((profile) => profile !== 'single');
    if (profiles.length > 0) {
      throw imageRefused(`its data is ${profiles}, not single`, 'convert it: btrfs balance start -dconvert=single');
    }
    const planted = await plantTree(run, { uid, topPath, defaultPath, owner: settings.owner });
    if (sizeBytes >= MIN_RESIZE_BYTES) await resizeFilesystem(run, topPath, 'max');
    await syncFilesystem(run, topPath);
    return planted;
  }).catch((error: unknown) => {
    throw error instanceof CommandError && error.command.file === 'mount' ? noWholeFilesystem(error) : error;
  });
  const whole = { ...record, tree, initialized: true, sizeBytes: (await stat(imagePath)).size };
  await saveRecord(storage.layout, whole);
}
