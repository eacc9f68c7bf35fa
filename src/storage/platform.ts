import { knowsBtrfs, readBtrfsProgsVersion, readKernelRelease } from '../host/versions.ts';
import type { Storage } from './context.ts';

export interface Platform {
  /** Release of the kernel, e.g. `6.12.0-amd64`. */
  readonly kernel: string;
  readonly btrfsProgs: string;
  readonly hasBtrfs: boolean;
}

/** What this node runs on. Throws when btrfs-progs is missing. */
export async function readPlatform(storage: Storage): Promise<Platform> {
  const [btrfsProgs, hasBtrfs] = await Promise.all([readBtrfsProgsVersion(storage.run), knowsBtrfs()]);
  return { kernel: readKernelRelease(), btrfsProgs, hasBtrfs };
}
