import { basename } from 'node:path';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import type { VolumeRecord } from '../records.ts';
import { isTreeMount } from '../tree-mount.ts';
import { attachOnce, ensureMountPoint, holdDevice } from './attach.ts';
import { takeDown } from './bring-down.ts';
import { format, type VolumeSettings } from './format.ts';
import { proveImage, proveSingleDevice, proveUnformatted } from './identify.ts';
import { mountOnce } from './mount-once.ts';
import type { MountSettings } from './mount-options.ts';
import { HELD_ELSEWHERE, needsRestart } from './needs-restart.ts';
import { observePlace, type VolumePlace } from './observe.ts';
import { removeTop } from './top-mount.ts';

/**
 * The volume is attached, formatted if it never was, and its tree is mounted. Idempotent; what is there is used as it is.
 * A failure leaves no loop device, mount or directory that was not there before.
 */
export async function bringUp(
  storage: Storage,
  uid: string,
  settings: VolumeSettings,
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, async (run, uninterrupted) => {
    const before = await observePlace(storage, uid);
    if (before.mount !== undefined) return await removeTop(storage, run, uid);
    try {
      await attempt('bring up the volume', () => ensureUp(storage, run, before, settings));
    } catch (error) {
      // A command that still runs may yet do its work: then this is not the time to take things apart under it.
      const stuck = error instanceof StorageError && error.reason === 'CommandStuck';
      if (!stuck && before.loops.length === 0) await takeDown(storage, uninterrupted, uid).catch(() => undefined);
      throw error;
    }
  });
}

async function ensureUp(storage: Storage, run: Run, before: VolumePlace, settings: VolumeSettings): Promise<void> {
  const { record, image } = before;
  if (record === undefined || image === undefined) {
    throw new StorageError('not-found', 'the image or its record is missing', { reason: 'BackingFileMissing' });
  }
  refuseStrayMount(before);
  const isFormatted = record.initialized || record.tree !== undefined;
  if (isFormatted) await proveImage(storage, run, record, image);
  else await proveUnformatted(storage, run, record, image);
  proveSingleDevice(record, before.loops, before.liveDevices);

  const [left] = before.loops;
  if (left !== undefined) await ensureMountPoint(run, storage.layout.volumePath(record.uid));
  const loopPath = left?.path ?? (await attachOnce(storage, run, record.uid, image.inode));
  await using _device = await holdDevice(storage, loopPath, record.uid);
  const ready = isFormatted ? record : await format(storage, run, record, loopPath, settings);
  await mountTree(storage, run, ready, loopPath, settings);
  await removeTop(storage, run, record.uid);
}

function refuseStrayMount({ strayMount }: VolumePlace): void {
  if (strayMount === undefined) return;
  throw new StorageError(
    'conflict',
    `${strayMount.fsType} from ${strayMount.source} is mounted at ${strayMount.mountPoint} where the volume belongs; unmount it`,
    { reason: 'ForeignMount' },
  );
}

async function mountTree(
  storage: Storage,
  run: Run,
  record: VolumeRecord,
  loopPath: string,
  settings: MountSettings,
): Promise<void> {
  if (record.tree === undefined) {
    throw new StorageError('damaged', 'the record names no subvolume of the operator', { reason: 'RecordDamaged' });
  }
  const path = storage.layout.volumePath(record.uid);
  await mountOnce(storage, run, record.uid, loopPath, path, settings, `subvolid=${record.tree.id}`).catch(
    async (error: unknown) => {
      // What another mount namespace keeps alive after an error is refused by the kernel, but nothing is damaged.
      const isHeld = isDamage(error) && (await liveDevices(record.filesystemUUID)) !== undefined;
      throw isHeld ? needsRestart(HELD_ELSEWHERE, error) : error;
    },
  );
  const mount = mountAt(await readMounts(), path);
  if (mount !== undefined && isTreeMount(mount, record, await liveDevices(record.filesystemUUID))) return;
  throw new StorageError('failed', `what is mounted at ${path} is not the tree of ${basename(loopPath)}`, {
    reason: 'CommandFailed',
  });
}

function isDamage(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'damaged';
}
