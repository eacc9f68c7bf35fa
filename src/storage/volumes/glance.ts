import { stat } from 'node:fs/promises';
import { type DeviceErrors, readDeviceErrors } from '../../host/btrfs-sysfs.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { observeSpace } from '../../host/space-info.ts';
import type { Storage } from '../context.ts';
import { isErrno } from '../records.ts';
import { isReadOnly } from '../tree-mount.ts';

/** What can be seen of a volume without running a command or touching its filesystem. */
export interface Glance {
  readonly mounted: boolean;
  readonly readOnly: boolean;
  /** Inode of the image, undefined while there is none. */
  readonly imageInode: number | undefined;
}

/** A look at many volumes for the price of one mount table. */
export async function glanceAt(storage: Storage, uids: readonly string[]): Promise<ReadonlyMap<string, Glance>> {
  const mounts = await readMounts();
  const glances = await Promise.all(
    uids.map(async (uid): Promise<readonly [string, Glance]> => {
      const mount = mountAt(mounts, storage.layout.volumePath(uid));
      const readOnly = mount !== undefined && isReadOnly(mount);
      return [uid, { mounted: mount !== undefined, readOnly, imageInode: (await imageStats(storage, uid))?.ino }];
    }),
  );
  return new Map(glances);
}

export interface Usage {
  readonly usedBytes: number;
  readonly freeBytes: number;
  /** What the sparse image takes on the node. */
  readonly hostBytes: number;
  /** Given to neither data nor metadata yet. */
  readonly unallocatedBytes: number;
  readonly deviceErrors: DeviceErrors;
}

/** How full a mounted volume is and what went wrong in it, by btrfs's own figures; undefined when it is not mounted. */
export async function readUsage(
  storage: Storage,
  volume: { readonly uid: string; readonly filesystemUUID: string; readonly sizeBytes: number },
): Promise<Usage | undefined> {
  const { uid, filesystemUUID, sizeBytes } = volume;
  const [space, deviceErrors] = await Promise.all([
    observeSpace(filesystemUUID, sizeBytes),
    readDeviceErrors(filesystemUUID),
  ]);
  const stats = await imageStats(storage, uid);
  if (space === undefined || stats === undefined) return undefined;
  const { usedBytes, freeBytes, unallocatedBytes } = space;
  return { usedBytes, freeBytes, unallocatedBytes, hostBytes: stats.blocks * 512, deviceErrors };
}

async function imageStats(storage: Storage, uid: string) {
  try {
    return await stat(storage.layout.imagePath(uid));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
