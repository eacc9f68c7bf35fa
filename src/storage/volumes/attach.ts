import { type FileHandle, open } from 'node:fs/promises';
import { CommandError, type Run } from '../../host/command.ts';
import { attachLoopDevice, type LoopDevice } from '../../host/losetup.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { observePlace } from './observe.ts';

/** Sector size and direct I/O are best effort: what the kernel refuses is left out (a failed losetup may have attached all the same). */
export async function attachOnce(storage: Storage, run: Run, uid: string, inode: number): Promise<string> {
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
export async function holdDevice(storage: Storage, loopPath: string, uid: string): Promise<FileHandle> {
  const device = await open(loopPath, 'r');
  try {
    const { loops } = await observePlace(storage, uid);
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
