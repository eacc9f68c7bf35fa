import { CommandError, type Run } from '../../host/command.ts';
import { isInvalidMount, mountBtrfs } from '../../host/mount.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { isBestEffort, type MountSettings, mountOptions } from './mount-options.ts';

/** Mounts, or tries once more without what is best effort; what was refused is not asked for again. */
export async function mountOnce(
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
