import { readFile } from 'node:fs/promises';
import { UnexpectedOutputError } from './unexpected-output.ts';

/** One line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)): the kernel's own table, read without touching any filesystem. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor` of the superblock: the same for every mount of one btrfs filesystem. */
  readonly device: string;
  /** Path inside the filesystem that is mounted, e.g. `/.btrfs-operator`. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly fsType: string;
  /** e.g. `/dev/loop0`. */
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** All mounts of this process's mount namespace; of several at one place the one that is seen comes last. */
export async function readMounts(): Promise<readonly Mount[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/**
 * Parses lines such as
 * `36 35 0:32 /.btrfs-operator /var/lib/x rw,noatime shared:1 - btrfs /dev/loop0 rw,compress=zstd:3,subvolid=256,subvol=/…`.
 * Throws {@link UnexpectedOutputError} on any other: a table that is half understood must not show a mount as absent.
 */
export function parseMountinfo(text: string): readonly Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
}

/** Any number of optional fields, such as `shared:1`, comes before the ` - `. A source may be empty. */
const LINE = /^(\d+) (\d+) (\d+:\d+) (\S+) (\S+) (\S+)(?: \S+)*? - (\S+) (\S*) (\S+)$/;

function parseLine(line: string): Mount {
  const match = LINE.exec(line);
  if (match === null) throw new UnexpectedOutputError('/proc/self/mountinfo', line);
  const [, id, parentId, device = '', root = '', mountPoint = '', options = '', fsType = '', source = ''] = match;
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    options: options.split(','),
    fsType,
    source: unescapeOctal(source),
    superOptions: (match[9] ?? '').split(','),
  };
}

/** The kernel writes space, tab, newline and backslash as `\040`, `\011`, `\012`, `\134`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mount that is seen at `path`: of several stacked ones the last. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/**
 * Value of `name=value` among mount or super options, `''` for a bare flag, `undefined` if absent. The first one counts:
 * `subvol=` comes last in btrfs's list, and a name in a foreign filesystem may hold commas.
 */
export function optionValue(options: readonly string[], name: string): string | undefined {
  for (const option of options) {
    if (option === name) return '';
    if (option.startsWith(`${name}=`)) return option.slice(name.length + 1);
  }
  return undefined;
}
