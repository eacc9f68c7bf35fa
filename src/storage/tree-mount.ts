import { basename } from 'node:path';
import { liveDevices } from '../host/btrfs-sysfs.ts';
import { type Mount, mountAt, optionValue, readMounts } from '../host/mountinfo.ts';
import { readSuperblock } from '../host/superblock.ts';
import { StorageError } from './errors.ts';
import { type Layout, TREE_NAME } from './layout.ts';
import { isErrno, tryRecord, type VolumeRecord } from './records.ts';

/**
 * The mount of the operator's tree of a volume, proven to be it and writable (rule 3). No command and no look into the
 * filesystem. Throws `not-ready` otherwise.
 */
export async function proveTreeMount(layout: Layout, uid: string): Promise<Mount> {
  const [{ record, damage }, mounts] = await Promise.all([tryRecord(layout, uid), readMounts()]);
  const known = record ?? damage?.fields;
  const mount = mountAt(mounts, layout.volumePath(uid));
  if (known === undefined || mount === undefined) throw notReady('the volume is not mounted');
  if (known.initialized === false) throw notReady('the volume is being filled from its source');
  const isProven =
    record === undefined
      ? isTreeOfImage(mount, await liveDevicesOfImage(layout.imagePath(uid)))
      : isTreeMount(mount, record, await liveDevices(record.filesystemUUID));
  if (!isProven) throw notReady('what is mounted in the place of the volume is not the volume');
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

/** {@link isTreeMount} without a record: the operator's tree, of the filesystem in the image of the volume. */
export function isTreeOfImage(mount: Mount, live: readonly string[] | undefined): boolean {
  return mount.fsType === 'btrfs' && mount.root === `/${TREE_NAME}` && live?.includes(basename(mount.source)) === true;
}

async function liveDevicesOfImage(imagePath: string): Promise<readonly string[] | undefined> {
  const superblock = await readSuperblock(imagePath).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  return superblock === undefined ? undefined : await liveDevices(superblock.filesystemUUID);
}

/** True also when btrfs itself stopped writing after an error: then the superblock is `ro` and the mount still `rw`. */
export function isReadOnly({ options, superOptions }: Mount): boolean {
  return options.includes('ro') || superOptions.includes('ro');
}
