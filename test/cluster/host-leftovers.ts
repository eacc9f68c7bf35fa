import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findGoing, findLoops, findMounts, isUnder, readText } from './host-devices.ts';

/** What on this machine still belongs to a directory: it lives in it, is mounted from it or was started for it. */
export interface Leftovers {
  readonly processes: readonly LeftProcess[];
  /** Mount points, the last mounted first. */
  readonly mounts: readonly string[];
  readonly loops: readonly { readonly device: string; readonly backingFile: string }[];
}

export interface LeftProcess {
  readonly pid: number;
  readonly command: string;
  /** Its environment says that it was started for the directory; others may be a user's shell or editor. */
  readonly marked: boolean;
}

/** Which processes may be killed: those that bear the mark, or all that have to do with the directory. */
export type Victims = 'marked' | 'all';

/** Environment variable that marks what is started for a directory; so does TMPDIR, which tests hand on. */
export const runDirVariable = 'BTRFS_OPERATOR_RUN_DIR';

/**
 * Looks at loop devices with a backing file in `dir`, mounts below it or of these devices, and processes that are marked
 * with it, name it in their arguments, work in it or hold its files; our own process and its ancestors don't count.
 */
export function findLeftovers(dir: string): Leftovers {
  const root = realpathSync(dir);
  const loops = findLoops(root);
  return { processes: findProcesses(root), mounts: findMounts(root, new Set(loops.map((l) => l.device))), loops };
}

export interface VolumeUser {
  readonly pid: number;
  readonly command: string;
  /** Where it works, or a file that it has open. */
  readonly path: string;
}

/** Processes that keep a mount below `dir`, or of a loop device of it, from being unmounted: not those that were started for it. */
export function findUsers(dir: string): readonly VolumeUser[] {
  const root = realpathSync(dir);
  const mounts = findMounts(root, new Set(findLoops(root).map((loop) => loop.device)));
  return allPids()
    .filter((pid) => !isMarked(pid, root))
    .flatMap((pid) => {
      const path = heldPaths(pid).find((held) => mounts.some((mountPath) => isUnder(mountPath, held)));
      return path === undefined ? [] : [{ pid, command: commandOf(pid), path }];
    });
}

export function isClean({ processes, mounts, loops }: Leftovers): boolean {
  return processes.length + mounts.length + loops.length === 0;
}

export function describeLeftovers({ processes, mounts, loops }: Leftovers): string {
  return [
    ...processes.map(({ pid, command }) => `process ${pid}: ${command.slice(0, 200)}`),
    ...mounts.map((mountPath) => `mount ${mountPath}`),
    ...loops.map(({ device, backingFile }) => `loop device ${device} of ${backingFile}`),
  ].join('\n');
}

/**
 * `dir` and all that belongs to it is gone afterwards; anything else on the machine is untouched. Safe to repeat.
 * Throws after 30 s, and leaves `dir`, when something can't be removed (a process in D state, a shell in a volume).
 */
export async function removeLeftovers(dir: string, victims: Victims): Promise<void> {
  if (!existsSync(dir)) return;
  const deadline = performance.now() + 30_000;
  const loops = new Map<string, string>();
  const look = (): Leftovers => {
    const left = findLeftovers(dir);
    for (const { device, backingFile } of left.loops) loops.set(device, backingFile);
    // Which file a device has is not told any more while it is being detached: then what it was told to have counts.
    const going = findGoing(loops);
    return { ...left, loops: [...left.loops, ...going.filter(({ device }) => !isIn(left.loops, device))] };
  };
  for (let left = look(); !isClean(left); left = look()) {
    if (performance.now() > deadline)
      throw new Error(`can't remove what belongs to ${dir}:\n${describeLeftovers(left)}`);
    for (const { pid, marked } of left.processes) if (marked || victims === 'all') killProcess(pid);
    for (const mountPath of left.mounts) {
      attempt('fsfreeze', ['--unfreeze', mountPath]); // a frozen file system can't be unmounted
      attempt('umount', ['--', mountPath]);
    }
    for (const { device } of left.loops) attempt('losetup', ['--detach', device]);
    await sleep(100);
  }
  attempt('chattr', ['-R', '-f', '-i', dir]); // directories that wait for a mount are immutable
  execFileSync('rm', ['--one-file-system', '-rf', '--', dir], { timeout: 60_000 });
}

function isIn(loops: Leftovers['loops'], wanted: string): boolean {
  return loops.some(({ device }) => device === wanted);
}

function findProcesses(root: string): LeftProcess[] {
  const own = ownLineage();
  return allPids()
    .filter((pid) => !own.has(pid))
    .map((pid) => ({ pid, command: commandOf(pid), marked: isMarked(pid, root) }))
    .filter(({ pid, command, marked }) => marked || command.includes(root) || holdsFile(pid, root))
    .filter(({ command }) => !command.startsWith('vitest')); // its watchdog and workers have our TMPDIR, and end with it
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function commandOf(pid: number): string {
  return readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
}

function isMarked(pid: number, root: string): boolean {
  return readText(`/proc/${pid}/environ`)
    .split('\0')
    .map((entry) => entry.split('='))
    .some(([name, value = '']) => (name === 'TMPDIR' || name === runDirVariable) && isUnder(root, value));
}

function holdsFile(pid: number, root: string): boolean {
  return heldPaths(pid).some((held) => isUnder(root, held));
}

function heldPaths(pid: number): string[] {
  const links = [`/proc/${pid}/cwd`, ...readNames(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`)];
  return links.map(readTarget);
}

/** Us and the processes that wait for us: make, npm and the shell. */
function ownLineage(): Set<number> {
  const lineage = new Set<number>();
  for (let pid = process.pid; pid > 0; ) {
    lineage.add(pid);
    pid = Number(/^PPid:\t(\d+)$/m.exec(readText(`/proc/${pid}/status`))?.[1] ?? 0);
  }
  return lineage;
}

function killProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function attempt(file: string, args: readonly string[]): void {
  try {
    execFileSync(file, args, { timeout: 20_000, stdio: 'ignore' });
  } catch {
    // The next look at the machine says whether it mattered.
  }
}

function readNames(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function readTarget(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
