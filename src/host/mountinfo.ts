import { readFile } from 'node:fs/promises';

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

/** All mounts of this process's mount namespace, in the order of mounting. */
export async function readMounts(): Promise<readonly Mount[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/**
 * Parses lines such as
 * `36 35 0:32 /.btrfs-operator /var/lib/x rw,noatime shared:1 - btrfs /dev/loop0 rw,compress=zstd:3,subvolid=256,subvol=/…`.
 */
export function parseMountinfo(text: string): readonly Mount[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map(parseLine);
}

function parseLine(line: string): Mount {
  const [head, tail] = splitOnce(line, ' - ');
  const [id, parentId, device, root, mountPoint, options] = head.split(' ');
  const [fsType, source, superOptions] = tail.split(' ');
  if (id === undefined || parentId === undefined || mountPoint === undefined || fsType === undefined) {
    throw new TypeError(`mountinfo: unexpected line ${JSON.stringify(line)}`);
  }
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? '',
    root: unescapeOctal(root ?? ''),
    mountPoint: unescapeOctal(mountPoint),
    options: (options ?? '').split(','),
    fsType,
    source: unescapeOctal(source ?? ''),
    superOptions: (superOptions ?? '').split(','),
  };
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** The kernel writes space, tab, newline and backslash as `\040`, `\011`, `\012`, `\134`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mount that is seen at `path`: of several stacked ones the last. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/** Value of `name=value` among mount or super options, `''` for a bare flag, `undefined` if absent. */
export function optionValue(options: readonly string[], name: string): string | undefined {
  for (const option of options) {
    if (option === name) return '';
    if (option.startsWith(`${name}=`)) return option.slice(name.length + 1);
  }
  return undefined;
}
