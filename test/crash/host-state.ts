import { readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { findLoops, findMounts } from '../cluster/host-devices.ts';

/** Everything of one root directory that there is on the machine; nothing in it belongs to nobody. */
interface HostState {
  readonly root: readonly string[];
  /** Sizes in bytes by file name. */
  readonly images: Readonly<Record<string, number>>;
  readonly records: readonly string[];
  readonly mountPoints: readonly string[];
  /** Capacity in bytes by backing file, one entry a device: two of one image show as a list of two. */
  readonly loops: Readonly<Record<string, readonly number[]>>;
  /** Sizes of the mounted filesystems in bytes by mount point, one entry a mount. */
  readonly mounts: Readonly<Record<string, readonly number[]>>;
}

/**
 * The node has exactly the images, records, loop devices, mounts and directories that these volumes call for: no staging
 * names, no temporary files, no second loop device; and file, loop device and filesystem have the size that the status says.
 */
export function expectHostToMatch(rootPath: string, volumes: readonly LoopbackVolume[]): void {
  expect(stateOf(rootPath)).toEqual(stateFor(rootPath, volumes));
  for (const { spec, status } of volumes) {
    const alive = readdirSync('/sys/fs/btrfs').includes(status.filesystemUUID ?? '');
    expect(alive, `filesystem ${status.filesystemUUID} is alive`).toBe(spec.mounted);
  }
}

function stateFor(rootPath: string, volumes: readonly LoopbackVolume[]): HostState {
  const sizeOf = ({ status }: LoopbackVolume) => status.sizeBytes ?? -1;
  const uidOf = ({ metadata }: LoopbackVolume) => metadata.uid;
  const mounted = volumes.filter(({ spec }) => spec.mounted);
  return {
    root: ['exports', 'images', 'imports', 'lock', 'records', 'volumes'],
    images: Object.fromEntries(volumes.map((volume) => [`${uidOf(volume)}.img`, sizeOf(volume)])),
    records: volumes.map((volume) => `${uidOf(volume)}.json`).sort(),
    mountPoints: mounted.map(uidOf).sort(),
    loops: Object.fromEntries(
      mounted.map((volume) => [path.join(rootPath, 'images', `${uidOf(volume)}.img`), [sizeOf(volume)]]),
    ),
    mounts: Object.fromEntries(
      mounted.map((volume) => [path.join(rootPath, 'volumes', uidOf(volume)), [sizeOf(volume)]]),
    ),
  };
}

function stateOf(rootPath: string): HostState {
  const list = (area: string) => readdirSync(path.join(rootPath, area)).sort();
  const loops = findLoops(rootPath);
  const mounts = findMounts(rootPath, new Set(loops.map(({ device }) => device)));
  return {
    root: readdirSync(rootPath).sort(),
    images: Object.fromEntries(
      list('images').map((name) => [name, statSync(path.join(rootPath, 'images', name)).size]),
    ),
    records: list('records'),
    mountPoints: list('volumes'),
    loops: grouped(loops.map(({ device, backingFile }) => [backingFile, capacityOf(device)])),
    mounts: grouped(mounts.map((mountPath) => [mountPath, filesystemSizeOf(mountPath)])),
  };
}

function capacityOf(device: string): number {
  return Number(readFileSync(`/sys/block/${path.basename(device)}/size`, 'utf8')) * 512;
}

function filesystemSizeOf(mountPath: string): number {
  const { bsize, blocks } = statfsSync(mountPath);
  return bsize * blocks;
}

function grouped(entries: readonly (readonly [string, number])[]): Record<string, number[]> {
  const groups: Record<string, number[]> = {};
  for (const [key, value] of entries) groups[key] = [...(groups[key] ?? []), value];
  return groups;
}
