import { rmdir } from 'node:fs/promises';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import { CommandError, type Run } from '../../host/command.ts';
import { setImmutable } from '../../host/coreutils.ts';
import { detachLoopDevice, isAttached, type LoopDevice } from '../../host/losetup.ts';
import { unmount } from '../../host/mount.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { isErrno } from '../records.ts';
import { observePlace, type VolumePlace } from './observe.ts';
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
export async function takeDown(storage: Storage, run: Run, uid: string): Promise<VolumePlace> {
  const before = await observePlace(storage, uid);
  const { mount, loops, record } = before;
  refuseUsers(before);
  if (mount !== undefined) await unmountTree(run, mount.mountPoint);
  await removeTop(storage, run, uid);
  if (record !== undefined) await proveUnused(record.filesystemUUID, before);
  const ownLoopPath = mount?.source ?? (loops.length === 1 ? loops[0]?.path : undefined);
  if (ownLoopPath !== undefined) await detachAndProve(storage, run, ownLoopPath, before);
  refuseOtherLoops(before, ownLoopPath);
  await removeMountPoint(storage, run, uid);
  return before;
}

function refuseUsers({ otherMountPoints }: VolumePlace): void {
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
async function proveUnused(filesystemUUID: string, { loops, mount }: VolumePlace): Promise<void> {
  const live = (await liveDevices(filesystemUUID)) ?? [];
  const own = [...loops.map((loop) => loop.path), mount?.source];
  if (!live.some((name) => own.includes(`/dev/${name}`))) return;
  throw new StorageError(
    'in-use',
    'the filesystem is still mounted in another mount namespace, most likely by a pod; nothing is detached until that has ended',
    { reason: 'StillInUse' },
  );
}

/** Rule 17: a second loop device on the image was made by somebody else, who has to end it. */
function refuseOtherLoops({ loops }: VolumePlace, ownLoopPath: string | undefined): void {
  const others = loops.filter((loop) => loop.path !== ownLoopPath).map((loop) => loop.path);
  if (others.length === 0) return;
  throw new StorageError(
    'in-use',
    `the image is also attached to ${others.join(', ')}, not by the operator; detach it`,
    {
      reason: 'StillInUse',
    },
  );
}

/** The kernel answers 0 and only marks a device that somebody has open (autoclear): look again. */
async function detachAndProve(
  storage: Storage,
  run: Run,
  loopPath: string,
  { uid, loops }: VolumePlace,
): Promise<void> {
  if (!(await isAttached(loopPath))) return;
  const at = (devices: readonly LoopDevice[]) => devices.find((loop) => loop.path === loopPath);
  const identity = at(loops) ?? at(await storage.loopDevices());
  await detachLoopDevice(run, loopPath).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.failure.stillRunning) throw error;
  });
  if (!(await isAttached(loopPath))) return;
  // Attached all the same: still to this image, or already to another one, which somebody attached in the meantime.
  const after = at(await storage.loopDevices());
  if (after?.backingInode !== identity?.backingInode || after?.backingDevice !== identity?.backingDevice) return;
  throw new StorageError('in-use', `${loopPath} of volume ${uid} is still open somewhere and could not be detached`, {
    reason: 'StillInUse',
  });
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
