import { mkdir, rmdir } from 'node:fs/promises';
import { mountBtrfs, unmount } from '../../host/mount.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import type { Storage } from '../context.ts';
import { FOREIGN_OPTIONS } from '../foreign-mount.ts';
import { isErrno } from '../records.ts';
import type { Tree } from '../tree.ts';

/** The staging subvolume of an object is mounted alone, for what comes from outside the node (rule 15); returns where. */
export async function mountReceiving(storage: Storage, tree: Tree, uid: string, subvolumeID: number): Promise<string> {
  const path = storage.layout.receivingPath(uid);
  await mkdir(path, { mode: 0o700 });
  await mountBtrfs(storage.run, tree.device, path, [...FOREIGN_OPTIONS, `subvolid=${subvolumeID}`]);
  return path;
}

/** The mount of {@link mountReceiving} is gone; safe to repeat. */
export async function removeReceiving(storage: Storage, path: string): Promise<void> {
  while (mountAt(await readMounts(), path) !== undefined) await unmount(storage.run, path);
  await rmdir(path).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
}
