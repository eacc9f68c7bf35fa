import { mkdir, rmdir } from 'node:fs/promises';
import type { Run } from '../host/command.ts';
import { mountBtrfs, unmount } from '../host/mount.ts';
import { mountAt, readMounts } from '../host/mountinfo.ts';
import { deleteNested, unsealAll } from '../host/nested-subvolumes.ts';
import { FOREIGN_OPTIONS } from './foreign-mount.ts';

export interface SidePlace {
  /** Block device of the filesystem. */
  readonly device: string;
  /** Where nothing else is mounted while this runs; what an earlier run left there goes first. */
  readonly mountPath: string;
}

export interface Emptying {
  readonly id: number;
  /** Whether what keeps it and those in it from being deleted is taken away before: a walk over all that is in it. */
  readonly how: 'as it is' | 'unsealed';
}

/**
 * No subvolume lies any more in these, which are about to be deleted, but for what can't be deleted as it is. Each is mounted alone by its
 * id: its path goes through directories of tenants, and nothing else can be reached from it (rule 15).
 */
export async function emptySubvolumes(run: Run, place: SidePlace, emptyings: readonly Emptying[]): Promise<void> {
  const { device, mountPath } = place;
  await mkdir(mountPath, { recursive: true, mode: 0o700 });
  try {
    await unmountAll(run, mountPath);
    for (const { id, how } of emptyings) {
      await mountBtrfs(run, device, mountPath, [...FOREIGN_OPTIONS, `subvolid=${id}`]);
      if (how === 'unsealed') await unsealAll(run, mountPath);
      await deleteNested(run, mountPath);
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
