import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** What `btrfs filesystem usage -b` says about a filesystem of one device; all in bytes on the device, copies included. */
export interface FilesystemUsage {
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly unallocatedBytes: number;
  readonly usedBytes: number;
  /** Estimate of what fits in yet. */
  readonly freeBytes: number;
}

/** Allocation figures as btrfs-progs puts them together; needs no more than the mount path. */
export async function readFilesystemUsage(run: Run, mountPath: string): Promise<FilesystemUsage> {
  const { stdout } = await run({
    file: 'btrfs',
    args: ['filesystem', 'usage', '-b', '--', mountPath],
    timeoutMs: 60_000,
  });
  return parseFilesystemUsage(stdout);
}

/** Parses lines like `    Device size:\t\t        1073741824` (btrfs-progs 6.2). Throws {@link UnexpectedOutputError}. */
export function parseFilesystemUsage(stdout: string): FilesystemUsage {
  const figure = (name: string): number => {
    const line = stdout.split('\n').find((candidate) => candidate.trim().startsWith(`${name}:`));
    const match = line?.match(/:\s+(\d+)(?:\s|$)/);
    if (match === null || match === undefined) throw new UnexpectedOutputError('btrfs filesystem usage', stdout);
    return Number(match[1]);
  };
  return {
    sizeBytes: figure('Device size'),
    allocatedBytes: figure('Device allocated'),
    unallocatedBytes: figure('Device unallocated'),
    usedBytes: figure('Used'),
    freeBytes: figure('Free (estimated)'),
  };
}
