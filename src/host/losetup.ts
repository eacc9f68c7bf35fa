import { access, readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

const TIMEOUT_MS = 30_000;

/** A loop device in use, as `losetup --list` tells it through LOOP_GET_STATUS64: identified by device and inode, never by path. */
export interface LoopDevice {
  /** e.g. `/dev/loop0`. */
  readonly path: string;
  /** `major:minor` of the filesystem that holds the backing file. */
  readonly backingDevice: string;
  readonly backingInode: number;
  readonly autoclear: boolean;
  readonly directIO: boolean;
  /** Logical sector size in bytes. */
  readonly sectorSize: number;
}

const told = z.object({
  name: z.string(),
  'back-maj:min': z.string().nullable(),
  'back-ino': z.coerce.number().nullable(),
  autoclear: z.boolean(),
  dio: z.boolean(),
  'log-sec': z.coerce.number().nullable(),
});
/** One that was detached before it was asked has not all columns. */
const detached = z.object({ name: z.string(), 'back-maj:min': z.null(), 'back-ino': z.null() });
const listing = z.object({ loopdevices: z.array(z.union([told, detached])) });

/** What {@link parseLoopDevices} reads. */
export const LOOP_COLUMNS = 'NAME,BACK-MAJ:MIN,BACK-INO,AUTOCLEAR,DIO,LOG-SEC';

/** The file of each loop device in use, by device: as some mount namespace has it, shortened or ''. Asks no device. */
export async function readBackingFiles(): Promise<ReadonlyMap<string, string>> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const files = await Promise.all(names.map(async (name) => [`/dev/${name}`, await backingFileOf(name)] as const));
  return new Map(files.flatMap(([path, file]) => (file === undefined ? [] : [[path, file] as const])));
}

/** Undefined: not in use; '': in use, but its path can't be told. */
async function backingFileOf(name: string): Promise<string | undefined> {
  try {
    return (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8')).replace(/\n$/, '');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV' ? undefined : '';
  }
}

/** What to look for among the loop devices in use. */
export interface LoopSearch {
  /** A part of the last name of the file: that is right in whichever mount namespace it was attached. */
  readonly name: string;
  /** A device that is asked whatever its file is called. */
  readonly path?: string;
  /** The file has, or had, other names too: all devices have to be asked. */
  readonly isLinked?: boolean;
}

/** Devices whose file may be the one that is looked for. One that was unlinked may have been it under another name. */
export function candidates(
  files: ReadonlyMap<string, string>,
  { name, path, isLinked }: LoopSearch,
): readonly string[] {
  const may = (device: string, file: string) =>
    isLinked ||
    device === path ||
    basename(file) === '' ||
    file.endsWith(' (deleted)') ||
    basename(file).includes(name);
  return [...files].flatMap(([device, file]) => (may(device, file) ? [device] : []));
}

/**
 * These loop devices, as far as they are in use. To be asked is to be opened, and the kernel asks the file system of the file: it may
 * hang, and can't be killed then (seen with 6.18, FUSE), so nobody asks devices that can't be its own.
 */
export async function askLoopDevices(run: Run, paths: readonly string[]): Promise<readonly LoopDevice[]> {
  const asked = paths.map(async (path) => {
    const args = ['--list', '--json', '--output', LOOP_COLUMNS, '--', path];
    return parseLoopDevices((await run({ file: 'losetup', args, timeoutMs: TIMEOUT_MS })).stdout);
  });
  return (await Promise.all(asked)).flat();
}

/**
 * Parses `losetup --list --json` of util-linux 2.38 (`"back-maj:min": "   254:0  "` is padded); no device prints nothing.
 * Throws {@link UnexpectedOutputError}.
 */
export function parseLoopDevices(stdout: string): readonly LoopDevice[] {
  if (stdout.trim() === '') return [];
  return parseListing(stdout).loopdevices.flatMap((device) => {
    // A device that was detached while it was asked has no backing file any more.
    if (!('dio' in device) || device['back-maj:min'] === null || device['back-ino'] === null) return [];
    return [
      {
        path: device.name,
        backingDevice: device['back-maj:min'].trim(),
        backingInode: device['back-ino'],
        autoclear: device.autoclear,
        directIO: device.dio,
        sectorSize: device['log-sec'] ?? 512,
      },
    ];
  });
}

function parseListing(stdout: string): z.infer<typeof listing> {
  try {
    return listing.parse(JSON.parse(stdout));
  } catch (cause) {
    throw new UnexpectedOutputError('losetup --list --json', stdout, { cause });
  }
}

export interface AttachOptions {
  /** Logical sector size in bytes; must be given at attach: once mounted it is EBUSY. */
  readonly sectorSize?: number;
  readonly directIO?: boolean;
}

export function attachArgs(imagePath: string, options: AttachOptions): readonly string[] {
  return [
    '--find',
    '--show',
    ...(options.sectorSize === undefined ? [] : [`--sector-size=${options.sectorSize}`]),
    ...(options.directIO === undefined ? [] : [`--direct-io=${options.directIO ? 'on' : 'off'}`]),
    '--',
    imagePath,
  ];
}

/** Attaches the image to a free loop device and returns its path. The caller holds the image's lock and saw no device for it. */
export async function attachLoopDevice(run: Run, imagePath: string, options: AttachOptions): Promise<string> {
  const { stdout } = await run({ file: 'losetup', args: attachArgs(imagePath, options), timeoutMs: TIMEOUT_MS });
  return stdout.trim();
}

/** Detaches; the kernel answers 0 and sets autoclear when the device is still in use, so look again afterwards. */
export async function detachLoopDevice(run: Run, loopPath: string): Promise<void> {
  await run({ file: 'losetup', args: ['--detach', loopPath], timeoutMs: TIMEOUT_MS });
}

/** Makes the device as large as its backing file is now (LOOP_SET_CAPACITY). */
export async function setLoopCapacity(run: Run, loopPath: string): Promise<void> {
  await run({ file: 'losetup', args: ['--set-capacity', loopPath], timeoutMs: TIMEOUT_MS });
}

/** Capacity of the device in bytes; sysfs counts in sectors of 512. */
export async function readLoopCapacity(loopPath: string): Promise<number> {
  return Number(await readFile(`/sys/block/${basename(loopPath)}/size`, 'utf8')) * 512;
}

/** Whether the device has a backing file at this moment, whichever. */
export async function isAttached(loopPath: string): Promise<boolean> {
  try {
    await access(`/sys/block/${basename(loopPath)}/loop/backing_file`);
    return true;
  } catch {
    return false;
  }
}

/** Whether the backing file has no name any more, which the kernel appends to its path (d_path, fs/d_path.c). */
export async function isBackingFileDeleted(loopPath: string): Promise<boolean> {
  return (await backingFileOf(basename(loopPath)))?.endsWith(' (deleted)') === true;
}
