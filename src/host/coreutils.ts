import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** These touch managed mounts, which may hang: a command can be given up, a thread of Node's own pool can't. */
const TIMEOUT_MS = 30_000;

export interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** Octal permission bits without setuid, setgid and sticky, e.g. `0755`. */
  readonly mode: string;
}

/** Makes the directory if it is missing and gives it this owner and mode, also if it was there. */
export async function ensureDirectory(run: Run, path: string, owner: Owner): Promise<void> {
  const { uid, gid, mode } = owner;
  await run({
    file: 'install',
    args: ['--directory', `--owner=${uid}`, `--group=${gid}`, `--mode=${mode}`, '--', path],
    timeoutMs: TIMEOUT_MS,
  });
}

/** Owner and mode of a path. Throws CommandError if there is nothing. */
export async function readOwner(run: Run, path: string): Promise<Owner> {
  const { stdout } = await run({ file: 'stat', args: ['--format=%u %g %a', '--', path], timeoutMs: TIMEOUT_MS });
  return parseOwner(stdout);
}

/**
 * Parses `1000 1000 2755`. Special bits are left out: who owns the directory may set them (a setgid directory is an
 * ordinary thing), and `install --mode` does not clear them.
 */
export function parseOwner(stdout: string): Owner {
  const match = stdout.match(/^(\d+) (\d+) ([0-7]{1,4})\n?$/);
  if (match === null) throw new UnexpectedOutputError('stat', stdout);
  const mode = Number.parseInt(match[3] ?? '', 8) & 0o777;
  return { uid: Number(match[1]), gid: Number(match[2]), mode: mode.toString(8).padStart(4, '0') };
}

/** Sets or clears the immutable flag (chattr(1)) of a directory, so that nothing lands in it while it is no mount point. */
export async function setImmutable(run: Run, path: string, flag: 'on' | 'off'): Promise<void> {
  await run({ file: 'chattr', args: [flag === 'on' ? '+i' : '-i', '--', path], timeoutMs: TIMEOUT_MS });
}

/** The file has this length in bytes: a hole is added at its end, or its end is cut off. */
export async function truncateFile(run: Run, path: string, sizeBytes: number): Promise<void> {
  await run({ file: 'truncate', args: [`--size=${sizeBytes}`, '--', path], timeoutMs: TIMEOUT_MS });
}

/** The file's data and length are on disk. */
export async function syncFile(run: Run, path: string): Promise<void> {
  await run({ file: 'sync', args: ['--', path], timeoutMs: 10 * 60_000 });
}
