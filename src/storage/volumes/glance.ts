import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { readActivity, readBlock } from '../../host/block-device.ts';
import { type DeviceErrors, readDeviceErrors } from '../../host/btrfs-sysfs.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { observeSpace } from '../../host/space-info.ts';
import type { Storage } from '../context.ts';
import { addErrors } from '../device-errors.ts';
import { isErrno, loadRecord } from '../records.ts';
import { isReadOnly } from '../tree-mount.ts';

/** What can be seen of a volume without running a command or touching its filesystem. */
export interface Glance {
  readonly mounted: boolean;
  readonly readOnly: boolean;
  /** Commands hang in it. */
  readonly isStuck: boolean;
  /** Something waits for its device: it may be about to hang. */
  readonly isWaiting: boolean;
  /** What btrfs counted since it was mounted, and what an earlier mount wrote down. */
  readonly deviceErrors: DeviceErrors;
  /** Its device is mounted and did nothing since the last look, for all that is known: whether it answers is not known. */
  readonly isIdle: boolean;
  readonly image: GlancedImage | undefined;
}

export interface GlancedImage {
  readonly inode: number;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

export interface GlancedVolume {
  readonly uid: string;
  readonly filesystemUUID: string | undefined;
}

/** A look at many volumes for the price of one mount table, and a few small files for each. */
export async function glanceAt(
  storage: Storage,
  volumes: readonly GlancedVolume[],
): Promise<ReadonlyMap<string, Glance>> {
  const mounts = await readMounts();
  const glances = await Promise.all(
    volumes.map(async ({ uid, filesystemUUID }): Promise<readonly [string, Glance]> => {
      const mount = mountAt(mounts, storage.layout.volumePath(uid));
      const activity = mount === undefined ? undefined : await readActivity(mount.source);
      const { waits, moved } = await storage.fences.look(uid, activity);
      const glance = {
        mounted: mount !== undefined,
        readOnly: mount !== undefined && isReadOnly(mount),
        isStuck: storage.fences.isStuck(uid),
        isWaiting: waits,
        isIdle: activity !== undefined && !waits && !moved,
        deviceErrors: mount && filesystemUUID ? await readDeviceErrors(filesystemUUID) : {},
        image: glanced(await imageStats(storage, uid)),
      };
      return [uid, glance];
    }),
  );
  return new Map(glances);
}

function glanced(stats: Stats | undefined): GlancedImage | undefined {
  if (stats === undefined) return undefined;
  return { inode: stats.ino, sizeBytes: stats.size, modifiedAtMs: stats.mtimeMs };
}

/**
 * Asks the device of a mounted volume for a block of its own, past all caches; whether it answers is seen by
 * {@link glanceAt}. The tree stays mounted meanwhile. What goes wrong is no matter here.
 */
export async function askDevice(storage: Storage, uid: string): Promise<void> {
  await storage.withTree(uid, ({ run, device }) => readBlock(run, device)).catch(() => undefined);
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
  const record = await loadRecord(storage.layout, uid).catch(() => undefined);
  return {
    usedBytes,
    freeBytes,
    unallocatedBytes,
    hostBytes: stats.blocks * 512,
    deviceErrors: addErrors(deviceErrors, record?.lostErrors ?? {}),
  };
}

export interface VolumeRoom {
  readonly freeBytes: number;
  readonly sizeBytes: number;
}

/** What new data finds in a mounted volume, by its record and btrfs's own figures; undefined when that can't be told. */
export async function readRoom(storage: Pick<Storage, 'layout'>, uid: string): Promise<VolumeRoom | undefined> {
  const record = await loadRecord(storage.layout, uid);
  if (record === undefined) return undefined;
  const { filesystemUUID, sizeBytes } = record;
  const space = await observeSpace(filesystemUUID, sizeBytes);
  return space === undefined ? undefined : { freeBytes: space.freeBytes, sizeBytes };
}

async function imageStats(storage: Storage, uid: string) {
  try {
    return await stat(storage.layout.imagePath(uid));
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
