import { mkdir, rmdir } from 'node:fs/promises';
import type { Run } from '../host/command.ts';
import { mountBtrfs, unmount } from '../host/mount.ts';
import { mountAt, readMounts } from '../host/mountinfo.ts';
import { makeWritable } from '../host/subvolume.ts';
import { FOREIGN_OPTIONS } from './foreign-mount.ts';

export interface UnsealPlace {
  /** Block device of the filesystem. */
  readonly device: string;
  /** Where nothing else is mounted while this runs; what an earlier run left there goes first. */
  readonly mountPath: string;
}

/**
 * These subvolumes, which are about to be deleted, can be changed: whoever owns one may have made it read-only, and what lies in it
 * can't be deleted then. Each is mounted by its id: its path goes through directories of tenants (rule 15).
 */
export async function unsealSubvolumes(run: Run, place: UnsealPlace, ids: readonly number[]): Promise<void> {
  const { device, mountPath } = place;
  await mkdir(mountPath, { recursive: true, mode: 0o700 });
  try {
    await unmountAll(run, mountPath);
    for (const id of ids) {
      await mountBtrfs(run, device, mountPath, [...FOREIGN_OPTIONS, `subvolid=${id}`]);
      await makeWritable(run, mountPath);
      await unmount(run, mountPath);
    }
  } finally {
    await unmountAll(run, mountPath);
    await rmdir(mountPath);
  }
}

async function unmountAll(run: Run, mountPath: string): Promise<void> {
  while (mountAt(await readMounts(), mountPath) !== undefined) await unmount(run, mountPath);
}
