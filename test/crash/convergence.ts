import { execFileSync } from 'node:child_process';
import { expect } from 'vitest';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { parseQuantity } from '../../src/api/quantity.ts';
import { dataPathOf } from '../integration/lab.ts';
import type { CrashVolume } from './crash-volume.ts';
import { manifestOf } from './file-tree.ts';
import { expectHostToMatch } from './host-state.ts';

/**
 * The volumes, which are all of their node, come by themselves to where their objects say. From the moment in which the
 * status says so everything has to be true: status, host and every byte; nothing gets a second look.
 */
export async function expectConvergence(rootPath: string, volumes: readonly CrashVolume[]): Promise<void> {
  const objects = await Promise.all(volumes.map((volume) => volume.settled()));
  expectHostToMatch(
    rootPath,
    objects.filter((object) => object !== undefined),
  );
  for (const [index, object] of objects.entries()) {
    if (object === undefined) continue;
    expectStatusToMatch(object);
    if (!object.spec.mounted) continue;
    expectSettingsToMatch(object);
    const manifest = volumes[index]?.manifest;
    if (manifest !== undefined) expect(await manifestOf(dataPathOf(object))).toBe(manifest);
  }
}

function expectStatusToMatch({ spec, status }: LoopbackVolume): void {
  expect(status.loopDevice === undefined).toBe(!spec.mounted);
  expect(status.mountPath === undefined).toBe(!spec.mounted);
  if (!spec.mounted) return; // the size is changed when it is mounted again
  const limitBytes = parseQuantity(spec.size);
  if (spec.minimize === undefined) {
    expect(status.sizeBytes).toBe(limitBytes);
    expect(status.minimized).toBeUndefined();
  } else {
    expect(status.sizeBytes).toBeLessThanOrEqual(limitBytes);
    expect(status.minimized?.sizeBytes).toBe(status.sizeBytes);
  }
}

function expectSettingsToMatch(volume: LoopbackVolume): void {
  const { spec, status } = volume;
  const { uid, gid, mode } = spec.owner;
  expect(read('btrfs', 'filesystem', 'label', status.mountPath ?? '')).toBe(spec.label ?? '');
  expect(read('stat', '--format=%u:%g:0%a', dataPathOf(volume))).toBe(`${uid}:${gid}:${mode}`);
  expect(status.compression).toBe(spec.compression);
}

function read(file: string, ...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8' }).trimEnd();
}
