import { mkdirSync, mkdtempSync, realpathSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { minDevSize } from '../../src/host/btrfs-filesystem.ts';
import type { Command } from '../../src/host/command.ts';
import { createRun } from '../../src/host/run.ts';
import { compactFilesystem, scratchBytes, spaceNeeded } from '../../src/storage/compact.ts';
import { createMore, type FillName, fillAtRandom } from '../builders/fills.ts';
import { removeLeftovers } from '../cluster/host-leftovers.ts';
import { sh } from './recovery/host-view.ts';
import { type KnownFiles, writeFiles } from './volumes/files.ts';

export const MiB = 1024 * 1024;
export const SMALLEST = 256 * MiB;
/** What `minimize` leaves by default. */
const HEADROOM = 96 * MiB;

const COMMAND_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface FilesystemOptions {
  readonly sizeBytes: number;
  readonly metadataProfile?: 'single' | 'dup';
}

/** A mounted btrfs on a sparse image of its own, as long as a shrink makes it; nothing is left of it when it is disposed of. */
export function mountFilesystem({ sizeBytes, metadataProfile = 'single' }: FilesystemOptions) {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'compact-')));
  const imagePath = path.join(dir, 'image');
  const mountPath = path.join(dir, 'mount');
  mkdirSync(mountPath);
  sh('truncate', `--size=${sizeBytes}`, imagePath);
  const devicePath = sh('losetup', '--find', '--show', '--sector-size=4096', '--direct-io=on', imagePath);
  sh('mkfs.btrfs', '--quiet', '--metadata', metadataProfile, devicePath);
  sh('truncate', `--size=${sizeBytes + scratchBytes(sizeBytes)}`, imagePath);
  sh('losetup', '--set-capacity', devicePath);
  sh('mount', '--options', 'noatime,compress=zstd:3', devicePath, mountPath);
  const filesystemUUID = sh('findmnt', '--noheadings', '--output', 'UUID', mountPath);
  const commands: string[] = [];
  const onCommand = ({ file, args }: Command) => commands.push([file, ...args].join(' '));
  const targetWith = (signal?: AbortSignal) => {
    const run = createRun({ commandPath: COMMAND_PATH, onCommand, signal });
    return { run, devicePath, mountPath, filesystemUUID };
  };
  return {
    dir,
    devicePath,
    mountPath,
    commands,
    target: targetWith(),
    /** With commands that end with the signal. */
    targetWith,
    sizeBytes: () => {
      const { bsize, blocks } = statfsSync(mountPath);
      return bsize * blocks;
    },
    [Symbol.asyncDispose]: () => removeLeftovers(dir, 'all'),
  };
}

export type Filesystem = ReturnType<typeof mountFilesystem>;

export interface Outcome {
  readonly line: string;
  /** At most 1.15 × used + 128 MiB, or the smallest there is. */
  readonly tight: boolean;
  /** At most 1.3 × used + 256 MiB. */
  readonly bounded: boolean;
  /** At most what btrfs itself holds for the smallest size before, or what the content and the headroom ask for, if that is more. */
  readonly belowMinDevSize: boolean;
}

/** Fills a filesystem, makes it as small as `minimize` would, and creates files in it. */
export async function compactFill(fill: FillName, seed: number, options: FilesystemOptions): Promise<Outcome> {
  await using filesystem = mountFilesystem(options);
  const { target, mountPath } = filesystem;
  fillAtRandom(mountPath, fill, options.sizeBytes, seed);
  const minDevSizeBytes = await minDevSize(target.run, mountPath);
  const { neededBytes } = await spaceNeeded(target);
  const startedAt = performance.now();
  const stopAtBytes = neededBytes + HEADROOM;
  const { movedBytes } = await compactFilesystem({ ...target, stopAtBytes });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const { usedBytes } = await spaceNeeded(target);
  const sizeBytes = filesystem.sizeBytes();
  createMore(mountPath);
  const mebibytes = (bytes: number) => `${Math.round(bytes / MiB)} MiB`;
  const what = `${fill} (seed ${seed}, ${options.metadataProfile ?? 'single'}, ${mebibytes(options.sizeBytes)})`;
  return {
    line: `${what}: used ${mebibytes(usedBytes)}, now ${mebibytes(sizeBytes)}, moved ${mebibytes(movedBytes)} in ${seconds} s, min-dev-size ${mebibytes(minDevSizeBytes)}`,
    tight: sizeBytes <= Math.max(SMALLEST, 1.15 * usedBytes + 128 * MiB),
    bounded: sizeBytes <= Math.max(SMALLEST, 1.3 * usedBytes + 256 * MiB),
    belowMinDevSize: sizeBytes <= Math.max(SMALLEST, minDevSizeBytes, Math.min(stopAtBytes, options.sizeBytes)),
  };
}

/** Two thirds of it, and half of that is removed again. */
export function halfFilled(filesystem: Filesystem): KnownFiles {
  const count = Math.round((0.68 * filesystem.sizeBytes()) / (10 * MiB));
  const files = writeFiles(filesystem.mountPath, 'files', count, 10);
  files.removeHalf();
  return files;
}

/** As the kernel makes it after a failed transaction. */
export function isReadOnly({ mountPath }: Filesystem): boolean {
  return sh('findmnt', '--noheadings', '--output', 'OPTIONS', mountPath).startsWith('ro');
}
