import { execFileSync, spawnSync } from 'node:child_process';

/** What btrfs says about a volume, in bytes; everything written before counts. */
export function usageOf(mountPath: string): {
  readonly size: number;
  readonly free: number;
  readonly unallocated: number;
} {
  execFileSync('btrfs', ['filesystem', 'sync', mountPath]);
  const text = execFileSync('btrfs', ['filesystem', 'usage', '-b', mountPath], { encoding: 'utf8' });
  const figure = (name: string) => Number(text.match(new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'm'))?.[1]);
  return {
    size: figure('Device size'),
    free: figure('Free \\(estimated\\)'),
    unallocated: figure('Device unallocated'),
  };
}

/** A file of random bytes, on disk, which shares nothing with any other; the exit code of dd, not 0 when it didn't fit. */
export function fillFile(filePath: string, mebibytes: number): number | null {
  const args = ['if=/dev/urandom', `of=${filePath}`, 'bs=1M', `count=${mebibytes}`, 'conv=fsync'];
  return spawnSync('dd', args, { stdio: 'ignore' }).status;
}
