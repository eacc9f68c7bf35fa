import { rmdir } from 'node:fs/promises';
import type { Run } from '../../host/command.ts';
import { unmount } from '../../host/mount.ts';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import type { Storage } from '../context.ts';
import { isErrno } from '../records.ts';

/** The staging mount of the top is gone with its directory; safe to repeat. */
export async function removeTop(storage: Storage, run: Run, uid: string): Promise<void> {
  const topPath = storage.layout.topPath(uid);
  while (mountAt(await readMounts(), topPath) !== undefined) await unmount(run, topPath);
  await rmdir(topPath).catch((error: unknown) => {
    if (!isErrno(error, 'ENOENT')) throw error;
  });
}
