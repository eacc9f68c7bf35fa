import { readdir, rmdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import { CommandError, type Run } from '../../host/command.ts';
import { setImmutable } from '../../host/coreutils.ts';
import { detachLoopDevice, isAttached, isBackingFileDeleted, type LoopDevice } from '../../host/losetup.ts';
import { unmount } from '../../host/mount.ts';
import { type Mount, mountAt, readMounts } from '../../host/mountinfo.ts';
import { readDeviceSuperblock } from '../../host/superblock.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { RECEIVING_PREFIX } from '../layout.ts';
import { isErrno } from '../records.ts';
import { removeReceiving } from '../snapshots/receiving-mount.ts';
import { majorMinor, observeRemains, type VolumeRemains } from './observe.ts';
import { removeTop } from './top-mount.ts';

/**
 * The volume is unmounted and detached, and its mount directory is gone; safe to repeat.
 * Throws `in-use` while anything on this machine keeps the filesystem alive: then nothing is detached (rule 12).
 */
export async function bringDown(storage: Storage, uid: string, signal?: AbortSignal): Promise<void> {
  await storage.withVolume(uid, signal, async (run) => {
    await attempt('take the volume down', () => takeDown(storage, run, uid));
  });
}

/** {@link bringDown} for a caller that has the volume's lock; returns what there was before. */
export async function takeDown(storage: Storage, run: Run, uid: string): Promise<VolumeRemains> {
  return await storage.withoutTree(uid, () => takeDownUnused(storage, run, uid));
}

async function takeDownUnused(storage: Storage, run: Run, uid: string): Promise<VolumeRemains> {
  const before = await withoutReceiving(storage, await observeRemains(storage, uid));
  const { mount, loops, filesystemUUID } = before;
  refuseUnknownMount(before);
  refuseUsers(before);
  const ownLoop = await ownLoopOf(storage, before);
  if (mount !== undefined) await unmountTree(run, mount.mountPoint);
  await removeTop(storage, run, uid);
  // NOTE: rmdir of a mount point ends its mounts in other namespaces, in use or not: this has to come before it.
  if (filesystemUUID !== undefined) {
    const all = [...loops, ...(await loopsOfLostImage(storage, before))];
    await proveUnused(filesystemUUID, [...all.map((loop) => loop.path), mount?.source]);
  }
  if (ownLoop !== undefined) await detachAndProve(storage, run, uid, ownLoop);
  // First: as long as it is there the next run takes a device that is left for the volume's own.
  await removeMountPoint(storage, run, uid);
  refuseOtherLoops(loops, ownLoop?.path);
  return before;
}

/**
 * The loop device that the operator made for the volume: that of its mount, or the only one of the image while a mount point says
 * that the operator has brought the volume up and not down again ({@link attachOnce}). Any other is somebody else's.
 */
async function ownLoopOf(storage: Storage, place: VolumeRemains): Promise<LoopDevice | undefined> {
  const { uid, mount, loops, record, damage } = place;
  if (mount === undefined) {
    if (loops.length !== 1 || (record === undefined && damage === undefined)) return undefined;
    return (await hasMountPoint(storage, uid)) ? loops[0] : undefined;
  }
  const isMounted = ({ path }: LoopDevice) => path === mount.source;
  return loops.find(isMounted) ?? (await storage.loopDevices({ name: uid, path: mount.source })).find(isMounted);
}

/** The names alone: what is mounted there may hang. */
async function hasMountPoint({ layout }: Storage, uid: string): Promise<boolean> {
  return (await readdir(layout.volumesPath)).includes(uid);
}

/** Nobody is in the tree: what is mounted for receiving was left by a process that died. */
async function withoutReceiving(storage: Storage, place: VolumeRemains): Promise<VolumeRemains> {
  const own = storage.layout.receivingPath(place.uid);
  const prefix = join(storage.layout.volumesPath, RECEIVING_PREFIX);
  // By its filesystem: the tree itself may be unmounted already.
  const isIts = ({ source }: Mount) => place.liveDevices?.includes(basename(source)) === true;
  const left = (await readMounts())
    .filter((mount) => mount.mountPoint === own || (mount.mountPoint.startsWith(prefix) && isIts(mount)))
    .map(({ mountPoint }) => mountPoint);
  for (const path of new Set([...left, own])) await removeReceiving(storage, path);
  return left.length === 0 ? place : await observeRemains(storage, place.uid);
}

/** Of what is mounted from the image, or in the place of the volume, nothing tells that it is the volume. */
function refuseUnknownMount({ strayMount, loops, damage, record }: VolumeRemains): void {
  if (strayMount === undefined || record !== undefined) return;
  if (damage === undefined && !loops.some(({ path }) => path === strayMount.source)) return;
  throw new StorageError(
    'in-use',
    `${strayMount.source} is mounted at ${strayMount.mountPoint}, and no record tells what it is; unmount and detach it by hand first`,
    { reason: 'StillInUse' },
  );
}

function refuseUsers({ otherMountPoints }: VolumeRemains): void {
  if (otherMountPoints.length === 0) return;
  throw new StorageError(
    'in-use',
    `the volume is also mounted at ${otherMountPoints.slice(0, 3).join(', ')}; unmount it there first`,
    {
      reason: 'InUse',
    },
  );
}

async function unmountTree(run: Run, path: string): Promise<void> {
  try {
    await unmount(run, path);
  } catch (error) {
    // An exit code is not the fact: the mount table is.
    if (mountAt(await readMounts(), path) === undefined) return;
    if (error instanceof CommandError && /busy/.test(error.failure.stderrTail)) {
      throw new StorageError(
        'in-use',
        `files of the volume are open; end what uses it (fuser -vm ${path} on the node shows it)`,
        {
          cause: error,
          reason: 'InUse',
        },
      );
    }
    throw error;
  }
}

/** A filesystem that lives on without a mount of ours is held by another mount namespace, e.g. a pod's. */
async function proveUnused(filesystemUUID: string, ownPaths: readonly (string | undefined)[]): Promise<void> {
  const live = (await liveDevices(filesystemUUID)) ?? [];
  if (!live.some((name) => ownPaths.includes(`/dev/${name}`))) return;
  throw new StorageError(
    'in-use',
    'the filesystem is still mounted in another mount namespace, most likely by a pod; nothing is detached until that has ended',
    { reason: 'StillInUse' },
  );
}

/** Rule 17: a second loop device on the image was made by somebody else, who has to end it. */
function refuseOtherLoops(loops: readonly LoopDevice[], ownLoopPath: string | undefined): void {
  const others = loops.filter((loop) => loop.path !== ownLoopPath).map((loop) => loop.path);
  if (others.length === 0) return;
  throw new StorageError(
    'in-use',
    `the image is attached to ${others.join(', ')}, not by the operator; detach it with losetup --detach`,
    {
      reason: 'StillInUse',
    },
  );
}

/**
 * Nothing is detached that is not the same image by now: without a mount anybody can take the device from it and attach
 * another. The kernel answers 0 and only marks a device that somebody has open (autoclear): look again.
 */
async function detachAndProve(storage: Storage, run: Run, uid: string, own: LoopDevice): Promise<void> {
  const search = { name: uid, path: own.path };
  const isStillAttached = async () => (await storage.loopDevices(search)).some((loop) => isSameImage(loop, own));
  if (!(await isStillAttached())) return;
  await detachLoopDevice(run, own.path).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.failure.stillRunning) throw error;
  });
  if (!(await isAttached(own.path)) || !(await isStillAttached())) return;
  throw new StorageError('in-use', `${own.path} of volume ${uid} is still open somewhere and could not be detached`, {
    reason: 'StillInUse',
  });
}

function isSameImage(one: LoopDevice, other: LoopDevice): boolean {
  return (
    one.path === other.path && one.backingDevice === other.backingDevice && one.backingInode === other.backingInode
  );
}

/**
 * No loop device holds what is left of an image whose file was deleted: only for a volume that is deleted too, as it may be
 * the last copy of the data. The caller has taken the volume down; throws `in-use` as that does.
 */
export async function detachDeletedImage(storage: Storage, run: Run, place: VolumeRemains): Promise<void> {
  const deleted: LoopDevice[] = [];
  for (const loop of await loopsOfLostImage(storage, place)) {
    if (await isBackingFileDeleted(loop.path)) deleted.push(loop);
  }
  const [own] = deleted;
  refuseOtherLoops(deleted, own?.path);
  if (own !== undefined) await detachAndProve(storage, run, place.uid, own);
}

/**
 * Loop devices of the image that the volume was made with, when it is not in its place any more: known by the recorded inode,
 * which no other file gets as long as a device holds it, and by the filesystem.
 */
async function loopsOfLostImage(
  { run, layout, loopDevices }: Storage,
  { uid, record, damage, image }: VolumeRemains,
): Promise<readonly LoopDevice[]> {
  const { imageInode, filesystemUUID } = record ?? damage?.fields ?? {};
  if (imageInode === undefined || filesystemUUID === undefined || image?.inode === imageInode) return [];
  const device = majorMinor((await stat(layout.imagesPath)).dev);
  const found: LoopDevice[] = [];
  for (const loop of await loopDevices({ name: uid })) {
    if (loop.backingDevice !== device || loop.backingInode !== imageInode) continue;
    if ((await readDeviceSuperblock(run, loop.path))?.filesystemUUID === filesystemUUID) found.push(loop);
  }
  return found;
}

async function removeMountPoint(storage: Storage, run: Run, uid: string): Promise<void> {
  const path = storage.layout.volumePath(uid);
  if (mountAt(await readMounts(), path) !== undefined) return;
  try {
    await setImmutable(run, path, 'off').catch(() => undefined);
    await rmdir(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
