import type { Run } from './command.ts';
import { readFilesystemUUID } from './superblock.ts';

/** Copies of images on the node's own filesystem, and what makes one a filesystem of its own. */

/** A 16 TiB image that is full, on a slow disk. */
const COPY_TIMEOUT_MS = 24 * 60 * 60_000;
const TUNE_TIMEOUT_MS = 60_000;

/**
 * `destination` has the content of `source`: by shared extents where the node's filesystem can do that, with holes for zeros
 * otherwise. A file that is there is written into and keeps its inode. Not durable before a sync.
 */
export async function copySparse(run: Run, source: string, destination: string): Promise<void> {
  await run({
    file: 'cp',
    args: ['--sparse=always', '--reflink=auto', '--no-dereference', '--no-target-directory', '--', source, destination],
    timeoutMs: COPY_TIMEOUT_MS,
  });
}

/**
 * The unmounted filesystem in the image has a new UUID, which is returned; only its superblocks are rewritten, as the old one is kept as
 * `metadata_uuid` (btrfstune(8), Linux 5.0). The tool makes it up: one that it is given it looks for on every block device of the
 * machine. Throws CommandError, also on what is no whole filesystem.
 */
export async function renewFilesystemUUID(run: Run, imagePath: string): Promise<string> {
  await run({ file: 'btrfstune', args: ['-m', imagePath], timeoutMs: TUNE_TIMEOUT_MS });
  return await readFilesystemUUID(imagePath);
}

/** A mount of the filesystem without `subvol` options is one of this subvolume. Not durable before a sync. */
export async function setDefaultSubvolume(run: Run, id: number, mountPath: string): Promise<void> {
  await run({
    file: 'btrfs',
    args: ['subvolume', 'set-default', String(id), mountPath],
    timeoutMs: TUNE_TIMEOUT_MS,
  });
}
