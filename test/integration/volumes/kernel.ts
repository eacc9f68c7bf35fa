import { readdirSync, statfsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { findLeftovers } from '../../cluster/host-leftovers.ts';
import { sh } from '../recovery/host-view.ts';

/** A mount as the kernel lists it. */
export interface MountFacts {
  /** Stays the same as long as nothing is unmounted. */
  readonly id: number;
  readonly source: string;
  readonly options: readonly string[];
}

export function mountAt(mountPath: string): MountFacts | undefined {
  try {
    const columns = 'ID,SOURCE,OPTIONS';
    const listed = sh('findmnt', '--json', '--nofsroot', '--output', columns, '--mountpoint', mountPath);
    const { id, source, options } = JSON.parse(listed).filesystems[0];
    return { id: Number(id), source, options: options.split(',') };
  } catch {
    return undefined; // findmnt's exit code for nothing at all
  }
}

/** The three sizes that agree when no resize is under way. */
export function sizesOf({ status }: LoopbackVolume) {
  const { bsize, blocks } = statfsSync(status.mountPath ?? '');
  return {
    file: statSync(status.imagePath ?? '').size,
    device: Number(sh('blockdev', '--getsize64', status.loopDevice ?? '')),
    filesystem: bsize * blocks,
  };
}

export function sameSizes(bytes: number) {
  return { file: bytes, device: bytes, filesystem: bytes };
}

export function sha256(file: string): string {
  return sh('sha256sum', '--', file).slice(0, 64);
}

/** Bytes in use by the figures of btrfs-progs. */
export function usedBytesOf(mountPath: string): number {
  return Number(/^\s+Used:\s+(\d+)$/m.exec(sh('btrfs', 'filesystem', 'usage', '-b', mountPath))?.[1]);
}

/** What is left of volumes below an agent's root: images, mount directories, mounts and loop devices. */
export function leftOf(rootPath: string): string[] {
  const { mounts, loops } = findLeftovers(rootPath);
  const files = ['images', 'volumes', 'records'].flatMap((area) =>
    readdirSync(path.join(rootPath, area)).map((name) => path.join(area, name)),
  );
  return [...files, ...mounts.filter((mount) => mount !== rootPath), ...loops.map(({ device }) => device)];
}
