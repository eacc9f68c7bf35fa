import { liveDevices } from '../../host/btrfs-sysfs.ts';
import { mountBtrfs, unmount } from '../../host/mount.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import type { VolumeSettings } from './bring-up.ts';
import { mountOptions } from './mount-options.ts';
import { observeVolume } from './observe.ts';

/**
 * A volume that btrfs turned read-only is writable again: unmounted and mounted, which is safe because an aborted
 * transaction left nothing half-done on disk (a remount is refused). Only when nothing else has the filesystem open:
 * else it stays read-only, mounted as it was, and this throws `in-use` (ReadOnlyNeedsRestart).
 */
export async function healReadOnly(
  storage: Storage,
  uid: string,
  settings: VolumeSettings,
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, (run) =>
    attempt('mount the volume anew', async () => {
      const { record, tree, otherMountPoints } = await observeVolume(storage, uid);
      if (record?.tree === undefined || tree === undefined || !tree.readOnly) return;
      if (otherMountPoints.length > 0)
        throw needsRestart(`it is also mounted at ${otherMountPoints.slice(0, 3).join(', ')}`);
      await unmount(run, tree.path).catch((cause: unknown) => {
        throw needsRestart('files in it are open', cause);
      });
      const held = (await liveDevices(record.filesystemUUID)) !== undefined;
      const options = [...mountOptions(settings), ...(held ? ['ro'] : []), `subvolid=${record.tree.id}`];
      await mountBtrfs(run, tree.loopPath, tree.path, options);
      if (held) throw needsRestart('another mount namespace, most likely a pod, has it mounted');
    }),
  );
}

function needsRestart(why: string, cause?: unknown): StorageError {
  return new StorageError(
    'in-use',
    `btrfs turned the volume read-only after an error, and it can't be mounted anew because ${why}; end what uses it`,
    { cause, reason: 'ReadOnlyNeedsRestart' },
  );
}
