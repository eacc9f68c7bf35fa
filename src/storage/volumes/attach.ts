import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { CommandError, type Run } from '../../host/command.ts';
import { setImmutable } from '../../host/coreutils.ts';
import { attachLoopDevice, type LoopDevice } from '../../host/losetup.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { isErrno } from '../records.ts';
import { observeRemains } from './observe.ts';

/**
 * The mount point is made first, and goes last: it says that the device is ours. Sector size and direct I/O are best effort: what
 * the kernel refuses is left out (a failed losetup may have attached all the same).
 */
export async function attachOnce(storage: Storage, run: Run, uid: string, inode: number): Promise<string> {
  const { sectorSize, directIO } = storage.options;
  const imagePath = storage.layout.imagePath(uid);
  await ensureMountPoint(run, storage.layout.volumePath(uid));
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

/** The directory is there and, as long as nothing is mounted on it, takes no files: those would land on the node's disk. */
export async function ensureMountPoint(run: Run, path: string): Promise<void> {
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

async function attachedTo(storage: Storage, uid: string, inode: number): Promise<LoopDevice | undefined> {
  const { loops } = await observeRemains(storage, uid);
  return loops.find((loop) => loop.backingInode === inode);
}

/**
 * The device stays this image's until the handle is closed: while somebody has it open, a detach by whoever only marks it
 * (autoclear), and its number is not given to another image. Throws `in-use` if that happened before.
 */
export async function holdDevice(storage: Storage, loopPath: string, uid: string): Promise<FileHandle> {
  const device = await open(loopPath, 'r');
  try {
    const { loops } = await observeRemains(storage, uid);
    if (loops.some((loop) => loop.path === loopPath && !loop.autoclear)) return device;
    throw new StorageError('failed', `${loopPath} was detached by somebody else while the volume was brought up`, {
      reason: 'CommandFailed',
    });
  } catch (error) {
    // Whoever detaches it would only mark it while it is open.
    await device.close();
    throw error;
  }
}
