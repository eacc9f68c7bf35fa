import { randomUUID } from 'node:crypto';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { syncFilesystem } from '../../host/btrfs-filesystem.ts';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import { CommandError, type Run } from '../../host/command.ts';
import { ensureDirectory, type Owner, setImmutable } from '../../host/coreutils.ts';
import { attachLoopDevice, type LoopDevice } from '../../host/losetup.ts';
import { makeFilesystem } from '../../host/mkfs.ts';
import { isInvalidMount, mountBtrfs } from '../../host/mount.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { createSubvolume, showSubvolume } from '../../host/subvolume.ts';
import { readSuperblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { DATA_NAME, TREE_NAME } from '../layout.ts';
import { isErrno, saveRecord, type VolumeRecord } from '../records.ts';
import { isTreeMount } from '../tree-mount.ts';
import { takeDown } from './bring-down.ts';
import { proveImage, proveSingleDevice, proveUnformatted } from './identify.ts';
import { isBestEffort, type MountSettings, mountOptions } from './mount-options.ts';
import { HELD_ELSEWHERE, needsRestart } from './needs-restart.ts';
import { observePlace, type VolumePlace } from './observe.ts';
import { removeTop } from './top-mount.ts';

export interface VolumeSettings extends MountSettings {
  readonly label: string;
  readonly owner: Owner;
  readonly metadataProfile: 'single' | 'dup';
}

/**
 * The volume is attached, formatted if it never was, and its tree is mounted. Idempotent; what is there is used as it is.
 * A failure leaves no loop device, mount or directory that was not there before.
 */
export async function bringUp(
  storage: Storage,
  uid: string,
  settings: VolumeSettings,
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, async (run, uninterrupted) => {
    const before = await observePlace(storage, uid);
    if (before.mount !== undefined) return await removeTop(storage, run, uid);
    try {
      await attempt('bring up the volume', () => ensureUp(storage, run, before, settings));
    } catch (error) {
      // A command that still runs may yet do its work: then this is not the time to take things apart under it.
      const stuck = error instanceof StorageError && error.reason === 'CommandStuck';
      if (!stuck && before.loops.length === 0) await takeDown(storage, uninterrupted, uid).catch(() => undefined);
      throw error;
    }
  });
}

async function ensureUp(storage: Storage, run: Run, before: VolumePlace, settings: VolumeSettings): Promise<void> {
  const { record, image } = before;
  if (record === undefined || image === undefined) {
    throw new StorageError('not-found', 'the image or its record is missing', { reason: 'BackingFileMissing' });
  }
  refuseStrayMount(before);
  if (record.initialized) await proveImage(storage, run, record, image);
  else await proveUnformatted(storage, run, record, image);
  proveSingleDevice(record, before.loops, before.liveDevices);

  const loopPath = before.loops[0]?.path ?? (await attachOnce(storage, run, record.uid, image.inode));
  await using _device = await holdDevice(storage, loopPath, record.uid);
  await ensureMountPoint(run, storage.layout.volumePath(record.uid));
  const ready = record.initialized ? record : await format(storage, run, record, loopPath, settings);
  await mountTree(storage, run, ready, loopPath, settings);
  await removeTop(storage, run, record.uid);
}

function refuseStrayMount({ strayMount }: VolumePlace): void {
  if (strayMount === undefined) return;
  throw new StorageError(
    'conflict',
    `${strayMount.fsType} from ${strayMount.source} is mounted at ${strayMount.mountPoint} where the volume belongs; unmount it`,
    { reason: 'ForeignMount' },
  );
}

/** Sector size and direct I/O are best effort: what the kernel refuses is left out (a failed losetup may have attached all the same). */
async function attachOnce(storage: Storage, run: Run, uid: string, inode: number): Promise<string> {
  const { sectorSize, directIO } = storage.options;
  const imagePath = storage.layout.imagePath(uid);
  const attempts = [{ sectorSize, directIO }, { sectorSize }, {}];
  for (const [index, options] of attempts.entries()) {
    try {
      return await attachLoopDevice(run, imagePath, options);
    } catch (error) {
      const left = await attachedTo(storage, uid, inode);
      if (left !== undefined) return left.path;
      const last = index === attempts.length - 1;
      if (last || !(error instanceof CommandError) || error.failure.timedOut || error.failure.aborted) throw error;
    }
  }
  throw new Error('unreachable');
}

async function attachedTo(storage: Storage, uid: string, inode: number): Promise<LoopDevice | undefined> {
  const { loops } = await observePlace(storage, uid);
  return loops.find((loop) => loop.backingInode === inode);
}

/**
 * The device stays this image's until the handle is closed: while somebody has it open, a detach by whoever only marks it
 * (autoclear), and its number is not given to another image. Throws `in-use` if that happened before.
 */
async function holdDevice(storage: Storage, loopPath: string, uid: string): Promise<FileHandle> {
  const device = await open(loopPath, 'r');
  const { loops } = await observePlace(storage, uid);
  if (loops.some((loop) => loop.path === loopPath && !loop.autoclear)) return device;
  await device.close();
  throw new StorageError('failed', `${loopPath} was detached by somebody else while the volume was brought up`, {
    reason: 'CommandFailed',
  });
}

/** The directory is there and, as long as nothing is mounted on it, takes no files: those would land on the node's disk. */
async function ensureMountPoint(run: Run, path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error;
  }
  await bestEffort(setImmutable(run, path, 'on'));
}

/** Some filesystems (tmpfs before 6.6) have no immutable flag; the mount is proven before every write all the same. */
async function bestEffort(work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.failure.timedOut || error.failure.aborted) throw error;
  });
}

/**
 * A new filesystem with the operator's tree and `data/`, durable, and the record says so. The top is left mounted at its
 * staging place: the tree is mounted beside it, which costs less than bringing the filesystem up twice.
 */
async function format(
  storage: Storage,
  run: Run,
  record: VolumeRecord,
  loopPath: string,
  settings: VolumeSettings,
): Promise<VolumeRecord> {
  const { layout } = storage;
  const topPath = layout.topPath(record.uid);
  await removeTop(storage, run, record.uid);
  if ((await liveDevices(record.filesystemUUID)) !== undefined) {
    throw new StorageError('in-use', 'an unfinished filesystem of this volume is still mounted elsewhere', {
      reason: 'StillInUse',
    });
  }
  const fresh = await withUnusedUUID(storage, record);
  await makeFilesystem(run, loopPath, {
    filesystemUUID: fresh.filesystemUUID,
    metadataProfile: settings.metadataProfile,
    label: settings.label,
  });
  await mkdir(topPath, { mode: 0o700 });
  await mountOnce(storage, run, record.uid, loopPath, topPath, settings, 'subvolid=5');
  const treePath = `${topPath}/${TREE_NAME}`;
  await createSubvolume(run, treePath);
  await createSubvolume(run, `${treePath}/${DATA_NAME}`);
  await ensureDirectory(run, `${treePath}/${DATA_NAME}`, settings.owner);
  await syncFilesystem(run, topPath);
  const done = { ...fresh, initialized: true, tree: await showSubvolume(run, treePath) };
  await saveRecord(layout, done);
  return done;
}

/** mkfs.btrfs refuses a UUID that it finds on any device, and an interrupted format has left the recorded one on this. */
async function withUnusedUUID(storage: Storage, record: VolumeRecord): Promise<VolumeRecord> {
  if ((await readSuperblock(storage.layout.imagePath(record.uid))) === undefined) return record;
  const renewed = { ...record, filesystemUUID: randomUUID() };
  await saveRecord(storage.layout, renewed);
  return renewed;
}

async function mountTree(
  storage: Storage,
  run: Run,
  record: VolumeRecord,
  loopPath: string,
  settings: MountSettings,
): Promise<void> {
  if (record.tree === undefined) {
    throw new StorageError('damaged', 'the record names no subvolume of the operator', { reason: 'RecordDamaged' });
  }
  const path = storage.layout.volumePath(record.uid);
  await mountOnce(storage, run, record.uid, loopPath, path, settings, `subvolid=${record.tree.id}`).catch(
    async (error: unknown) => {
      // What another mount namespace keeps alive after an error is refused by the kernel, but nothing is damaged.
      const isHeld = isDamage(error) && (await liveDevices(record.filesystemUUID)) !== undefined;
      throw isHeld ? needsRestart(HELD_ELSEWHERE, error) : error;
    },
  );
  const mount = mountAt(await readMounts(), path);
  if (mount !== undefined && isTreeMount(mount, record, await liveDevices(record.filesystemUUID))) return;
  throw new StorageError('failed', `what is mounted at ${path} is not the tree of ${basename(loopPath)}`, {
    reason: 'CommandFailed',
  });
}

/** Mounts, or tries once more without what is best effort; what was refused is not asked for again. */
async function mountOnce(
  storage: Storage,
  run: Run,
  uid: string,
  loopPath: string,
  path: string,
  settings: MountSettings,
  subvolume: string,
): Promise<void> {
  const refused = storage.refusedOptions.get(uid) ?? [];
  const wanted = mountOptions(settings).filter((option) => !refused.includes(option));
  try {
    await mountBtrfs(run, loopPath, path, [...wanted, subvolume]);
  } catch (error) {
    if (mountAt(await readMounts(), path)?.source === loopPath) return;
    if (!isInvalidMount(error)) throw error instanceof CommandError ? damaged(error) : error;
    const needed = wanted.filter((option) => !isBestEffort(option));
    await mountBtrfs(run, loopPath, path, [...needed, subvolume]).catch(() => {
      throw damaged(error);
    });
    storage.refusedOptions.set(uid, [...refused, ...wanted.filter(isBestEffort)]);
  }
}

/** mount(8) says this for a filesystem that btrfs refuses to open; anything else is an ordinary failure. */
function damaged(error: CommandError): Error {
  if (
    !/bad superblock|can't read superblock|Structure needs cleaning|Input\/output error/.test(error.failure.stderrTail)
  )
    return error;
  return new StorageError(
    'damaged',
    `btrfs refuses to mount the image; it is left as it is. Check a copy of it with btrfs check, or put back a copy (${error.failure.stderrTail})`,
    { cause: error, reason: 'FilesystemDamaged' },
  );
}

function isDamage(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'damaged';
}
