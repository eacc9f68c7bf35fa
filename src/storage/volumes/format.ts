import { mkdir } from 'node:fs/promises';
import { setFilesystemLabel, syncFilesystem } from '../../host/btrfs-filesystem.ts';
import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { ensureDirectory, type Owner } from '../../host/coreutils.ts';
import { makeFilesystem } from '../../host/mkfs.ts';
import { createSubvolume, showSubvolume } from '../../host/subvolume.ts';
import { readFilesystemUUID } from '../../host/superblock.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { DATA_NAME, TREE_NAME } from '../layout.ts';
import { saveRecord, type VolumeRecord } from '../records.ts';
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
  if ((await liveDevices(record.filesystemUUID)) !== undefined) {
    throw new StorageError('in-use', 'an unfinished filesystem of this volume is still mounted elsewhere', {
      reason: 'StillInUse',
    });
  }
  const fresh = await makeMarked(storage, run, record, loopPath, settings);
  await mkdir(topPath, { mode: 0o700 });
  await mountOnce(storage, run, record.uid, loopPath, topPath, settings, 'subvolid=5');
  await setFilesystemLabel(run, topPath, settings.label);
  const treePath = `${topPath}/${TREE_NAME}`;
  await createSubvolume(run, treePath);
  if (settings.content === 'Empty') {
    await createSubvolume(run, `${treePath}/${DATA_NAME}`);
    await ensureDirectory(run, `${treePath}/${DATA_NAME}`, settings.owner);
  }
  await syncFilesystem(run, topPath);
  const done = {
    ...fresh,
    initialized: settings.content === 'Empty',
    tree: await showSubvolume(run, treePath),
  };
  await saveRecord(layout, done);
  return done;
}

/** Nobody knows its UUID before it is made. Until the record has that, what it had is the label, by which the filesystem is known as ours. */
async function makeMarked(
  { layout }: Storage,
  run: Run,
  record: VolumeRecord,
  loopPath: string,
  { metadataProfile }: VolumeSettings,
): Promise<VolumeRecord> {
  await makeFilesystem(run, loopPath, { metadataProfile, label: record.filesystemUUID });
  const made = { ...record, filesystemUUID: await readFilesystemUUID(layout.imagePath(record.uid)) };
  await saveRecord(layout, made);
  return made;
}
