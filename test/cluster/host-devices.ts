import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { LOOP_COLUMNS, parseLoopDevices } from '../../src/host/losetup.ts';
import { majorMinor } from '../../src/storage/volumes/observe.ts';

/**
 * Loop devices with a backing file below `root`: by its path, or by device and inode of the files there are, as the path
 * of a file that another mount namespace attached may begin anywhere.
 */
export function findLoops(root: string): { device: string; backingFile: string }[] {
  const loops = listLoops();
  const isElsewhere = (loop: Loop) => !isUnder(root, loop.backingFile);
  const files = loops.some(isElsewhere) ? listFiles(root) : new Set();
  return loops
    .filter((loop) => !isElsewhere(loop) || files.has(loop.identity))
    .map(({ device, backingFile }) => ({ device, backingFile }));
}

/** Those of the devices that have their file by name still, and of which the kernel says no more: it is detaching them, or about to. */
export function findGoing(backingFiles: ReadonlyMap<string, string>): { device: string; backingFile: string }[] {
  if (backingFiles.size === 0) return [];
  return listLoops()
    .filter(({ device, backingFile, identity }) => identity === '' && backingFiles.get(device) === backingFile)
    .map(({ device, backingFile }) => ({ device, backingFile }));
}

interface Loop {
  readonly device: string;
  readonly backingFile: string;
  /** `major:minor inode` of the backing file. */
  readonly identity: string;
}

function listLoops(): Loop[] {
  const identities = listLoopIdentities();
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .map((name) => ({
      device: `/dev/${name}`,
      backingFile: readText(`/sys/block/${name}/loop/backing_file`).trimEnd(),
      identity: identities.get(`/dev/${name}`) ?? '',
    }))
    .filter(({ backingFile }) => backingFile !== '');
}

function listLoopIdentities(): Map<string, string> {
  const listing = outputOf('losetup', ['--list', '--json', '--output', LOOP_COLUMNS]);
  return new Map(
    parseLoopDevices(listing).map(({ path, backingDevice, backingInode }) => [
      path,
      `${backingDevice} ${backingInode}`,
    ]),
  );
}

/** `major:minor inode` of all files below `root` that are on its file system: what is mounted there may hang. */
function listFiles(root: string): Set<string> {
  const listing = outputOf('find', [root, '-xdev', '-type', 'f', '-printf', '%D %i\n']);
  return new Set(
    listing.split('\n').map((line) => {
      const [device = '', inode = ''] = line.split(' ');
      return `${majorMinor(Number(device))} ${inode}`;
    }),
  );
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

export function isUnder(root: string, file: string): boolean {
  return file === root || file.startsWith(`${root}/`);
}

/** mountinfo writes space, tab, newline and backslash as octal (proc(5)). */
function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** What a command prints; a file or device that went away while it looked doesn't matter. */
function outputOf(file: string, args: readonly string[]): string {
  const { stdout, error } = spawnSync(file, args, { encoding: 'utf8', timeout: 20_000, maxBuffer: 64 * 1024 * 1024 });
  if (error !== undefined) throw error;
  return stdout.trim();
}

export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // the process or device went away while we looked
  }
}
