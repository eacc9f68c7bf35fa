import { basename } from 'node:path';
import { liveDevices } from '../host/btrfs-sysfs.ts';
import { type Mount, mountAt, optionValue, readMounts } from '../host/mountinfo.ts';
import { StorageError } from './errors.ts';
import type { Layout } from './layout.ts';
import { loadRecord, type VolumeRecord } from './records.ts';

/**
 * The mount of the operator's tree of a volume, proven to be it and writable (rule 3). No command and no look into the
 * filesystem. Throws `not-ready` otherwise.
 */
export async function proveTreeMount(layout: Layout, uid: string): Promise<Mount> {
  const [record, mounts] = await Promise.all([loadRecord(layout, uid), readMounts()]);
  const mount = mountAt(mounts, layout.volumePath(uid));
  if (record === undefined || mount === undefined) throw notReady('the volume is not mounted');
  if (!record.initialized) throw notReady('the volume is being filled from its source');
  if (!isTreeMount(mount, record, await liveDevices(record.filesystemUUID))) {
    throw notReady('what is mounted in the place of the volume is not the volume');
  }
  if (isReadOnly(mount)) throw notReady('the volume is read-only after an error');
  return mount;
}

function notReady(message: string): StorageError {
  return new StorageError('not-ready', `${message}; see the conditions of the LoopbackVolume`, {
    reason: 'VolumeNotReady',
  });
}

/** Rule 3: a mount of btrfs, of the recorded subvolume, of the filesystem with the recorded UUID, from a device of it. */
export function isTreeMount(
  mount: Mount,
  record: VolumeRecord | undefined,
  live: readonly string[] | undefined,
): boolean {
  if (record?.tree === undefined || mount.fsType !== 'btrfs') return false;
  return (
    optionValue(mount.superOptions, 'subvolid') === String(record.tree.id) &&
    live?.includes(basename(mount.source)) === true
  );
}

/** True also when btrfs itself stopped writing after an error: then the superblock is `ro` and the mount still `rw`. */
export function isReadOnly({ options, superOptions }: Mount): boolean {
  return options.includes('ro') || superOptions.includes('ro');
}
