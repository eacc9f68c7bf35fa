import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { createHostState } from '../../../src/agent/host-state.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { createStorage } from '../../../src/storage/context.ts';
import { condition, volumeOf } from '../../builders/objects.ts';
import { GIB } from '../../builders/wishes.ts';

const capacity = { overcommitRatio: 1, reserveBytes: 0, hostPressurePercent: 0, hostPressureBytes: undefined };
const storage = createStorage({ rootPath: tmpdir(), commandPath: '/usr/bin', sectorSize: 4096, directIO: true });

function volume(uid: string, size: string, sizeBytes?: number, refused?: string): LoopbackVolume {
  const conditions = refused === undefined ? [] : [condition('Resized', 'False', { reason: refused })];
  return volumeOf({
    metadata: { uid, name: uid },
    spec: { size },
    status: { ...(sizeBytes === undefined ? {} : { sizeBytes }), conditions },
  });
}
const hostWith = (...volumes: readonly LoopbackVolume[]) => createHostState(storage, capacity, () => volumes);

describe('createHostState', () => {
  it.each([
    ['a new volume counts with what it asks for', [volume('a', '2Gi')], 2 * GIB],
    ['a volume that grows counts with its new size', [volume('a', '2Gi', GIB)], 2 * GIB],
    ['a volume that shrinks counts with its old size', [volume('a', '1Gi', 2 * GIB)], 2 * GIB],
    ['growth that was refused is not held against others', [volume('a', '9Gi', GIB, 'NodeFull')], GIB],
    ['nor is growth that waits for space', [volume('a', '9Gi', GIB, 'HostPressure')], GIB],
    ['a shrink that was refused counts with its real size', [volume('a', '1Gi', 2 * GIB, 'ShrinkDoesNotFit')], 2 * GIB],
    ['all of them add up', [volume('a', '1Gi'), volume('b', '2Gi', 3 * GIB)], 4 * GIB],
  ])('committedBytes: %s', async (_, volumes, bytes) => {
    expect((await hostWith(...volumes)).committedBytes()).toBe(bytes);
  });

  it('factsFor: a volume may grow by what the others and itself leave', async () => {
    const own = volume('a', '5Gi', GIB);
    const host = await hostWith(own, volume('b', '2Gi', 2 * GIB));
    expect(host.factsFor(own).growthBytes).toBe(host.allocatableBytes - 3 * GIB);
  });

  it('refresh: reads the node anew, and says that pressure neither came nor went', async () => {
    const settings = { ...capacity };
    const host = await createHostState(storage, settings, () => []);
    expect(host.pressure).toBeUndefined();
    expect(await host.refresh()).toBe(false);
    expect(host.space.totalBytes).toBeGreaterThan(host.space.freeBytes);
  });
});
