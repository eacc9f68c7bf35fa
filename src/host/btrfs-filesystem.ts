import { CommandError, type Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** Metadata only, but all of them wait for the transaction in progress. */
const TIMEOUT_MS = 120_000;

/** A shrink relocates every chunk beyond the new end; one chunk takes minutes where many snapshots share its extents. */
const RELOCATION_TIMEOUT_MS = 60 * 60_000;

/**
 * The filesystem has this size in bytes, or fills its device (`'max'`). Atomic: when it fails or is killed the old size
 * stays, chunks that were moved by then keep their new place. Rounded down to sectors by the kernel; read the size afterwards.
 * Throws {@link CommandError}: {@link isOutOfSpace} when the data doesn't fit.
 */
export async function resizeFilesystem(run: Run, mountPath: string, size: number | 'max'): Promise<void> {
  await run({
    file: 'btrfs',
    args: ['filesystem', 'resize', String(size), mountPath],
    timeoutMs: RELOCATION_TIMEOUT_MS,
  });
}

/** Stops a resize that runs for someone else (kernel 5.13); nothing to stop is no failure. */
export async function cancelResize(run: Run, mountPath: string): Promise<void> {
  await run({
    file: 'btrfs',
    args: ['filesystem', 'resize', 'cancel', mountPath],
    timeoutMs: TIMEOUT_MS,
    okExitCodes: [0, 1, 2],
  });
}

/** Everything written before is on disk, and so is the state of all trees. */
export async function syncFilesystem(run: Run, mountPath: string): Promise<void> {
  await run({ file: 'btrfs', args: ['filesystem', 'sync', mountPath], timeoutMs: TIMEOUT_MS });
}

/** What btrfs itself takes for the smallest possible size in bytes: the sum of all chunks, full or not. */
export async function minDevSize(run: Run, mountPath: string): Promise<number> {
  const { stdout } = await run({
    file: 'btrfs',
    args: ['inspect-internal', 'min-dev-size', '--', mountPath],
    timeoutMs: TIMEOUT_MS,
  });
  return parseMinDevSize(stdout);
}

/** Parses `374341632 bytes (357.00MiB)` (btrfs-progs 6.2). Throws {@link UnexpectedOutputError}. */
export function parseMinDevSize(stdout: string): number {
  const match = stdout.match(/^(\d+) bytes \(\d+(?:\.\d+)?[KMGTPE]?i?B\)\n?$/);
  const bytes = Number(match?.[1]);
  if (!Number.isSafeInteger(bytes)) throw new UnexpectedOutputError('btrfs inspect-internal min-dev-size', stdout);
  return bytes;
}

/** The filesystem has this label, online. At most 255 bytes, no newline (btrfs-filesystem(8)). */
export async function setFilesystemLabel(run: Run, mountPath: string, label: string): Promise<void> {
  await run({
    file: 'btrfs',
    args: ['filesystem', 'label', '--', mountPath, label],
    timeoutMs: TIMEOUT_MS,
  });
}

/**
 * The kernel looks for space again after an allocation failed: it remembers the longest free extent that it saw then and refuses longer ones at once,
 * even with unallocated space at hand, until an extent is freed (`max_extent_size` in fs/btrfs/extent-tree.c). Frees one of its own, in
 * a file `.compact` that exists for an instant. Best effort.
 */
export async function forgetFailedAllocation(run: Run, mountPath: string): Promise<void> {
  const path = `${mountPath}/.compact`;
  const allocate = ['--length', '4096', '--', path];
  await run({ file: 'fallocate', args: allocate, timeoutMs: TIMEOUT_MS, okExitCodes: [0, 1] });
  await syncFilesystem(run, mountPath);
  await run({ file: 'rm', args: ['--force', '--', path], timeoutMs: TIMEOUT_MS });
  await syncFilesystem(run, mountPath);
}

/** True when the kernel refused because the data doesn't fit (ENOSPC). */
export function isOutOfSpace(error: unknown): error is CommandError {
  return error instanceof CommandError && error.failure.stderrTail.includes('No space left on device');
}
