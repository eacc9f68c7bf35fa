import { execFile } from 'node:child_process';
import { mkdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

/** One volume as an administrator would make it by hand: the commands that the operator is measured against. */
export interface RawVolume {
  readonly imagePath: string;
  readonly mountPath: string;
  readonly loopPath: string;
}

export async function rawCreate(dir: string, name: string, size: string): Promise<RawVolume> {
  const imagePath = path.join(dir, `${name}.img`);
  const mountPath = path.join(dir, name);
  await exec('truncate', ['--size', size, imagePath]);
  const { stdout } = await exec('losetup', ['--find', '--show', '--sector-size', '4096', '--direct-io=on', imagePath]);
  const loopPath = stdout.trim();
  await exec('mkfs.btrfs', ['--quiet', '--metadata', 'single', loopPath]);
  await mkdir(mountPath);
  await exec('mount', ['-t', 'btrfs', '-o', 'noatime,compress=zstd:3,discard=async', loopPath, mountPath]);
  return { imagePath, mountPath, loopPath };
}

export async function rawRemove({ imagePath, mountPath, loopPath }: RawVolume): Promise<void> {
  await exec('umount', [mountPath]);
  await exec('losetup', ['--detach', loopPath]);
  await rm(imagePath);
  await rmdir(mountPath);
}

export async function rawGrow({ imagePath, mountPath, loopPath }: RawVolume, size: string): Promise<void> {
  await exec('truncate', ['--size', size, imagePath]);
  await exec('losetup', ['--set-capacity', loopPath]);
  await exec('btrfs', ['filesystem', 'resize', 'max', mountPath]);
}

export async function rawShrink({ imagePath, mountPath, loopPath }: RawVolume, bytes: number): Promise<void> {
  await exec('btrfs', ['filesystem', 'resize', String(bytes), mountPath]);
  await exec('truncate', ['--size', String(bytes), imagePath]);
  await exec('losetup', ['--set-capacity', loopPath]);
}
