import { type DeviceErrors, liveDevices, readDeviceErrors } from '../../host/btrfs-sysfs.ts';
import { mountBtrfs, unmount } from '../../host/mount.ts';
import { isMountedElsewhere } from '../../host/mount-namespaces.ts';
import { attempt, type Storage } from '../context.ts';
import { addErrors, sumOfErrors } from '../device-errors.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
import { isReadOnly } from '../tree-mount.ts';
import type { VolumeSettings } from './format.ts';
import { mountOptions } from './mount-options.ts';
import { HELD_ELSEWHERE, needsRestart } from './needs-restart.ts';
import { observePlace } from './observe.ts';

/**
 * A volume that btrfs turned read-only is writable again: unmounted and mounted, which is safe because an aborted
 * transaction left nothing half-done on disk (a remount is refused). Only when nothing else has the filesystem open:
 * else it stays read-only, mounted as it was if the kernel allows that, and this throws `in-use` (ReadOnlyNeedsRestart).
 */
export async function healReadOnly(
  storage: Storage,
  uid: string,
  settings: VolumeSettings,
  { signal, onUnmount }: { readonly signal?: AbortSignal; readonly onUnmount?: () => void } = {},
): Promise<void> {
  await storage.withVolume(uid, signal, (run) =>
    attempt('mount the volume anew', () =>
      storage.withoutTree(uid, async () => {
        const { record, mount, otherMountPoints } = await observePlace(storage, uid);
        if (record?.tree === undefined || mount === undefined || !isReadOnly(mount)) return;
        if (otherMountPoints.length > 0)
          throw needsRestart(`it is also mounted at ${otherMountPoints.slice(0, 3).join(', ')}`);
        // What somebody else has mounted would be mounted read-only again, and whoever looks for it meanwhile does not find it.
        if (await isMountedElsewhere(mount.device)) throw needsRestart(HELD_ELSEWHERE);
        const errors = await keepErrors(storage, record);
        await unmount(run, mount.mountPoint).catch((cause: unknown) => {
          throw needsRestart('files in it are open', cause);
        });
        onUnmount?.();
        const held = (await liveDevices(record.filesystemUUID)) !== undefined;
        const options = [...mountOptions(settings), ...(held ? ['ro'] : []), `subvolid=${record.tree.id}`];
        const mounting = mountBtrfs(run, mount.source, mount.mountPoint, options);
        // NOTE: a filesystem in this state refuses even a read-only mount of a subvolume whose path it can't read (seen with 6.18).
        await (held ? mounting.catch(() => undefined) : mounting);
        await correctErrors(storage, record, errors);
        if (held) throw needsRestart(HELD_ELSEWHERE);
      }),
    ),
  );
}

/** What btrfs counted is in the record before the mount ends: a filesystem that can't be written to forgets it. Returns all of it. */
async function keepErrors(storage: Storage, record: VolumeRecord): Promise<DeviceErrors> {
  const counted = await readDeviceErrors(record.filesystemUUID);
  const all = addErrors(record.lostErrors ?? {}, counted);
  if (sumOfErrors(counted) > 0) await saveRecord(storage.layout, { ...record, lostErrors: all });
  return all;
}

/** The record has only what the new mount does not count itself. */
async function correctErrors(storage: Storage, record: VolumeRecord, all: DeviceErrors): Promise<void> {
  const counted = await readDeviceErrors(record.filesystemUUID);
  if (sumOfErrors(counted) > 0)
    await saveRecord(storage.layout, { ...record, lostErrors: addErrors(all, counted, -1) });
}
