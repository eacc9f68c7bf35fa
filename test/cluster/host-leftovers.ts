import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

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
  for (let left = findLeftovers(dir); !isClean(left); left = findLeftovers(dir)) {
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

/** Loop devices with a backing file below `root`. */
export function findLoops(root: string): { device: string; backingFile: string }[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .map((name) => ({
      device: `/dev/${name}`,
      backingFile: readText(`/sys/block/${name}/loop/backing_file`).trimEnd(),
    }))
    .filter(({ backingFile }) => isUnder(root, backingFile));
}

/** Mount points below `root` or of these devices, the last mounted first. */
export function findMounts(root: string, devices: ReadonlySet<string>): string[] {
  const mounts = readText('/proc/self/mountinfo')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [before = '', after = ''] = line.split(' - ');
      return { mountPath: unescapeOctal(before.split(' ')[4] ?? ''), source: unescapeOctal(after.split(' ')[1] ?? '') };
    });
  return mounts
    .filter(({ mountPath, source }) => isUnder(root, mountPath) || devices.has(source))
    .map(({ mountPath }) => mountPath)
    .reverse();
}

function findProcesses(root: string): LeftProcess[] {
  const own = ownLineage();
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => !own.has(pid))
    .map((pid) => ({ pid, command: commandOf(pid), marked: isMarked(pid, root) }))
    .filter(({ pid, command, marked }) => marked || command.includes(root) || holdsFile(pid, root))
    .filter(({ command }) => !command.startsWith('vitest')); // its watchdog and workers have our TMPDIR, and end with it
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
  const links = [`/proc/${pid}/cwd`, ...readNames(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`)];
  return links.some((link) => isUnder(root, readTarget(link)));
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

function isUnder(root: string, file: string): boolean {
  return file === root || file.startsWith(`${root}/`);
}

/** mountinfo writes space, tab, newline and backslash as octal (proc(5)). */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
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

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process or device went away while we looked
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
