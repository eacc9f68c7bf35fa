import { access, readFile } from 'node:fs/promises';
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

const listing = z.object({
  loopdevices: z.array(
    z.object({
      name: z.string(),
      'back-maj:min': z.string().nullable(),
      'back-ino': z.coerce.number().nullable(),
      autoclear: z.boolean(),
      dio: z.boolean(),
      'log-sec': z.coerce.number().nullable(),
    }),
  ),
});

/** What {@link parseLoopDevices} reads. */
export const LOOP_COLUMNS = 'NAME,BACK-MAJ:MIN,BACK-INO,AUTOCLEAR,DIO,LOG-SEC';

/** All loop devices in use on this machine. */
export async function listLoopDevices(run: Run): Promise<readonly LoopDevice[]> {
  const { stdout } = await run({
    file: 'losetup',
    args: ['--list', '--json', '--output', LOOP_COLUMNS],
    timeoutMs: TIMEOUT_MS,
  });
  return parseLoopDevices(stdout);
}

/**
 * Parses `losetup --list --json` of util-linux 2.38 (`"back-maj:min": "   254:0  "` is padded); no device prints nothing.
 * Throws {@link UnexpectedOutputError}.
 */
export function parseLoopDevices(stdout: string): readonly LoopDevice[] {
  if (stdout.trim() === '') return [];
  return parseListing(stdout).loopdevices.flatMap((device) => {
    const backingDevice = device['back-maj:min']?.trim();
    // A device that was detached while the list was made has no backing file any more.
    if (backingDevice === undefined || device['back-ino'] === null) return [];
    return [
      {
        path: device.name,
        backingDevice,
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
  try {
    const backingFile = await readFile(`/sys/block/${basename(loopPath)}/loop/backing_file`, 'utf8');
    return backingFile.endsWith(' (deleted)\n');
  } catch {
    return false;
  }
}
