import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** Version of btrfs-progs, e.g. `6.2`. */
export async function readBtrfsProgsVersion(run: Run): Promise<string> {
  const { stdout } = await run({ file: 'btrfs', args: ['--version'], timeoutMs: 30_000 });
  return parseBtrfsVersion(stdout);
}

/** Parses `btrfs-progs v6.2` and whatever follows on further lines. */
export function parseBtrfsVersion(stdout: string): string {
  const version = stdout.match(/^btrfs-progs v(\d+\.\d+(?:\.\d+)?)/)?.[1];
  if (version === undefined) throw new UnexpectedOutputError('btrfs --version', stdout);
  return version;
}

/** Release of the running kernel, e.g. `6.12.0-amd64`. */
export function readKernelRelease(): string {
  return release();
}

/** Whether the running kernel has btrfs, built in or as a module that is loaded. */
export async function knowsBtrfs(): Promise<boolean> {
  return listsBtrfs(await readFile('/proc/filesystems', 'utf8'));
}

/** Looks for `\tbtrfs` among the lines of `/proc/filesystems`. */
export function listsBtrfs(filesystems: string): boolean {
  return /^\s*btrfs$/m.test(filesystems);
}
