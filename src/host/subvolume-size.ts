import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** It reads the metadata of every file. */
const TIMEOUT_MS = 60_000;

/** Bytes that the files below `path` refer to, before compression; what they share counts each time (btrfs-filesystem(8)). */
export async function readReferencedBytes(run: Run, path: string): Promise<number> {
  const { stdout } = await run({
    file: 'btrfs',
    args: ['filesystem', 'du', '--summarize', '--raw', '--', path],
    timeoutMs: TIMEOUT_MS,
  });
  return parseReferencedBytes(stdout);
}

/** Parses `  20971520    20971520           0  /path` below a headline (btrfs-progs 6.2). Throws {@link UnexpectedOutputError}. */
export function parseReferencedBytes(stdout: string): number {
  const [, bytes] = stdout.match(/^\s*(\d+)\s+\d+\s+(?:\d+|-)\s/m) ?? [];
  if (bytes === undefined) throw new UnexpectedOutputError('btrfs filesystem du', stdout);
  return Number(bytes);
}
