import { mkdir } from 'node:fs/promises';
import { syncFilesystem } from '../../host/btrfs-filesystem.ts';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { ensureDirectory, type Owner } from '../../host/coreutils.ts';
import { makeFilesystem } from '../../host/mkfs.ts';
import { createSubvolume, showSubvolume } from '../../host/subvolume.ts';
import { readSuperblock } from '../../host/superblock.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { DATA_NAME, TREE_NAME } from '../layout.ts';
import { saveRecord, type VolumeRecord, withNewUUID, withoutFormerUUIDs } from '../records.ts';
import { mountOnce } from './mount-once.ts';
import type { MountSettings } from './mount-options.ts';
import { removeTop } from './top-mount.ts';

export interface VolumeSettings extends MountSettings {
  readonly label: string;
  readonly owner: Owner;
  readonly metadataProfile: 'single' | 'dup';
  /** FromSource: a new volume is not whole before it was filled. */
  readonly content: 'Empty' | 'FromSource';
}

/**
 * A new filesystem with the operator's tree, durable, and the record says so. It is complete with `data/` in it, but for
 * a volume with a source: that gets its data/ later. The top is left mounted at its staging place: the tree is mounted beside
 * it, which costs less than bringing the filesystem up twice.
 */
export async function format(
  storage: Storage,
  run: Run,
  record: VolumeRecord,
  loopPath: string,
  settings: VolumeSettings,
): Promise<VolumeRecord> {
  const { layout } = storage;
  const topPath = layout.topPath(record.uid);
  await removeTop(storage, run, record.uid);
  const ours = [record.filesystemUUID, ...(record.formerUUIDs ?? [])];
  if ((await Promise.all(ours.map(liveDevices))).some((live) => live !== undefined)) {
    throw new StorageError('in-use', 'an unfinished filesystem of this volume is still mounted elsewhere', {
      reason: 'StillInUse',
    });
  }
  const fresh = await withUnusedUUID(storage, record);
  await makeFilesystem(run, loopPath, {
    filesystemUUID: fresh.filesystemUUID,
    metadataProfile: settings.metadataProfile,
    label: settings.label,
  });
  await mkdir(topPath, { mode: 0o700 });
  await mountOnce(storage, run, record.uid, loopPath, topPath, settings, 'subvolid=5');
  const treePath = `${topPath}/${TREE_NAME}`;
  await createSubvolume(run, treePath);
  if (settings.content === 'Empty') {
    await createSubvolume(run, `${treePath}/${DATA_NAME}`);
    await ensureDirectory(run, `${treePath}/${DATA_NAME}`, settings.owner);
  }
  await syncFilesystem(run, topPath);
  const done = {
    ...withoutFormerUUIDs(fresh),
    initialized: settings.content === 'Empty',
    tree: await showSubvolume(run, treePath),
  };
  await saveRecord(layout, done);
  return done;
}

/** mkfs.btrfs refuses a UUID that it finds on any device, and an interrupted format has left the recorded one on this. */
async function withUnusedUUID(storage: Storage, record: VolumeRecord): Promise<VolumeRecord> {
  if ((await readSuperblock(storage.layout.imagePath(record.uid))) === undefined) return record;
  const renewed = withNewUUID(record);
  await saveRecord(storage.layout, renewed);
  return renewed;
}
