import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { removeLeftovers, type Victims } from './host-leftovers.ts';

const ownerFile = 'owner';

/**
 * A new directory that says which process owns it, so that a later run knows when nobody does any more. Everything that the
 * run makes on the machine goes below it.
 */
export function createRunDir(parentPath: string, prefix: string): string {
  const dir = realpathSync(mkdtempSync(path.join(parentPath, prefix)));
  claimRunDir(dir);
  return dir;
}

/** This process owns the directory afterwards. */
export function claimRunDir(dir: string): void {
  writeFileSync(path.join(dir, ownerFile), `${process.pid} ${startTimeOf(process.pid)}\n`);
}

/**
 * When this process is gone, even by SIGKILL, another one removes the directory and all that belongs to it. Does nothing
 * when the run has cleaned up itself.
 */
export function guardRunDir(dir: string, victims: Victims): void {
  const guard = spawn(process.execPath, [path.join(import.meta.dirname, 'run-dir-guard.ts')], {
    cwd: '/',
    detached: true,
    env: {}, // with our TMPDIR it would be taken for one of the run's own
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.stdin.write(`${victims} ${dir}`); // the pipe stays open as long as we live: its end is the sign
  guard.stdin.on('error', () => undefined);
  guard.unref();
  if ('unref' in guard.stdin && typeof guard.stdin.unref === 'function') guard.stdin.unref();
}

/** What runs that were killed have left is gone afterwards; directories whose owner lives stay. Gives what it removed. */
export async function removeStaleRunDirs(parentPath: string, prefix: string, victims: Victims): Promise<string[]> {
  const stale = readdirSync(parentPath)
    .filter((name) => name.startsWith(prefix))
    .map((name) => path.join(parentPath, name))
    .filter((dir) => ownerOf(dir) === 'dead');
  for (const dir of stale) await removeLeftovers(dir, victims);
  return stale;
}

/** `none` when the directory doesn't say: then it is not for us to remove. */
export function ownerOf(dir: string): 'alive' | 'dead' | 'none' {
  try {
    const [pid = '', startTime = ''] = readFileSync(path.join(dir, ownerFile), 'utf8').trim().split(' ');
    if (startTime === '') return 'none';
    return startTimeOf(Number(pid)) === startTime ? 'alive' : 'dead';
  } catch {
    return 'none';
  }
}

/** Field 22 of /proc/PID/stat (proc(5)): with the pid it names a process, as pids are used again; empty if it is gone. */
function startTimeOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
