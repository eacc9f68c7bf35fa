import { liveDevices } from '../../host/btrfs-sysfs.ts';
import type { Run } from '../../host/command.ts';
import { type Subvolume, showSubvolume } from '../../host/subvolume.ts';
import { readSuperblock } from '../../host/superblock.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { DATA_NAME, TREE_NAME } from '../layout.ts';
import type { VolumeRecord } from '../records.ts';
import { attachOnce, holdDevice } from './attach.ts';
import { takeDown } from './bring-down.ts';
import { type Image, observeRemains } from './observe.ts';
import { withTopMounted } from './plant-tree.ts';

/** What is left of a record that can't be read, with whose volume it is. */
export type NamedFields = Partial<VolumeRecord> & Pick<VolumeRecord, 'kind' | 'uid' | 'namespace' | 'name'>;

export function isNamed(fields: Partial<VolumeRecord>): fields is NamedFields {
  const { kind, uid, namespace, name } = fields;
  return kind !== undefined && uid !== undefined && namespace !== undefined && name !== undefined;
}

/**
 * The record of a volume that is down, made of what is left of it and of what the image says. Throws `damaged` (FilesystemDamaged)
 * or `foreign` (ForeignFilesystem, DuplicateFilesystem) for an image that does not hold a volume, or not this one.
 */
export async function rebuildRecord(
  storage: Storage,
  run: Run,
  uid: string,
  fields: NamedFields,
): Promise<VolumeRecord> {
  const imagePath = storage.layout.imagePath(uid);
  const { image } = await observeRemains(storage, uid);
  const superblock = image && (await readSuperblock(imagePath));
  if (image === undefined || superblock === undefined) {
    const message = `the image ${imagePath} has no btrfs superblock; it is left as it is. Put back a copy of it`;
    throw new StorageError('damaged', message, { reason: 'FilesystemDamaged' });
  }
  const { filesystemUUID, totalBytes } = superblock;
  if (fields.filesystemUUID !== undefined && fields.filesystemUUID !== filesystemUUID) {
    const message = `the image ${imagePath} holds the btrfs ${filesystemUUID}, not ${fields.filesystemUUID} of this volume; put back the right image`;
    throw new StorageError('foreign', message, { reason: 'ForeignFilesystem' });
  }
  if ((await liveDevices(filesystemUUID)) !== undefined) {
    const message = `filesystem UUID ${filesystemUUID} is mounted already: from a copy of the image ${imagePath}. Unmount that`;
    throw new StorageError('foreign', message, { reason: 'DuplicateFilesystem' });
  }
  const tree = await findTree(storage, run, uid, image).finally(() => takeDown(storage, run, uid));
  return {
    createdAt: new Date().toISOString(),
    ...fields,
    schemaVersion: 1,
    filesystemUUID,
    imageInode: image.inode,
    initialized: true,
    sizeBytes: totalBytes,
    tree,
  };
}

/** The operator's tree, with `data/` in it: without that the volume was never whole. */
async function findTree(storage: Storage, run: Run, uid: string, image: Image): Promise<Subvolume> {
  const loopPath = await attachOnce(storage, run, uid, image.inode);
  await using _device = await holdDevice(storage, loopPath, uid);
  return await withTopMounted(storage, run, { uid, loopPath }, async (topPath) => {
    const tree = await showSubvolume(run, `${topPath}/${TREE_NAME}`);
    await showSubvolume(run, `${topPath}/${TREE_NAME}/${DATA_NAME}`);
    return tree;
  });
}
