import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCache } from '../../../src/api/build-cache.ts';
import { makeHeldCommand } from '../held-command.ts';
import { type Lab, startLab } from '../lab.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';
import { fillFile, usageOf } from './usage.ts';

const MIB = 1024 * 1024;
/** Of random bytes in each generation. */
const FILL_MIB = 40;

let lab: Lab;
let kit: CacheKit;
let command: ReturnType<typeof makeHeldCommand>;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  command = makeHeldCommand(lab.dir);
  await lab.startAgent('node-a', { commandPath: command.commandPath });
  kit = cacheKit(lab);
  await lab.createVolume('vol', { size: '512Mi' });
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
});
afterAll(async () => {
  command?.letGo();
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

async function publish(name: string, cache: string): Promise<void> {
  fillFile(path.join(cloneOf(await kit.startJob(name, cache)), 'fill'), FILL_MIB);
  expect((await kit.endJob(name)).status.outcome).toBe('Published');
}

const numbersOf = ({ status }: BuildCache) => status.generations?.map(({ generation }) => generation) ?? [];
const withNumbers = (name: string, ...numbers: readonly number[]) =>
  kit.cacheThat(name, (cache) => numbersOf(cache).join() === numbers.join());

describe('BuildCache: what is pruned', () => {
  it('F3 BuildCache: a pin that comes in the middle of a pass keeps its generation, and keepGenerations counts likewise', async () => {
    await kit.createCache('pinned', 'vol', { keepGenerations: 10, minFreePercent: 0 });
    for (const name of ['pinned-2', 'pinned-3', 'pinned-4']) await publish(name, 'pinned');
    await withNumbers('pinned', 1, 2, 3, 4);
    command.hold('subvolume list');
    await kit.changeCache('pinned', { keepGenerations: 1 });
    await command.held();
    await kit.changeCache('pinned', { pinnedGeneration: 2, keepGenerations: 2 });
    command.letGo();
    await withNumbers('pinned', 2, 3, 4);
  });

  it('F3 BuildCache: minFreePercent takes nothing that was pinned in the middle of a pass, nor more than it asks for then', async () => {
    await kit.createCache('spared', 'vol', { keepGenerations: 10, minFreePercent: 0 });
    for (const name of ['spared-2', 'spared-3']) await publish(name, 'spared');
    await withNumbers('spared', 1, 2, 3);
    command.hold('subvolume sync');
    await kit.changeCache('spared', { minFreePercent: 90 });
    await command.held();
    await kit.changeCache('spared', { pinnedGeneration: 1 });
    command.letGo();
    await withNumbers('spared', 1, 3);
    await kit.changeCache('spared', { minFreePercent: 0, pinnedGeneration: null });
    await kit.cacheReady('spared');
    command.hold('subvolume sync');
    await kit.changeCache('spared', { minFreePercent: 90 });
    await command.held();
    await kit.changeCache('spared', { minFreePercent: 0 });
    command.letGo();
    await kit.cacheReady('spared');
    await withNumbers('spared', 1, 3);
    await kit.remove(await kit.cacheReady('spared'));
  });

  it('F3 BuildCache: a file that is open in a pruned generation costs no other generation', async () => {
    await kit.createCache('opened', 'vol', { keepGenerations: 10, minFreePercent: 0 });
    for (const name of ['opened-2', 'opened-3', 'opened-4']) await publish(name, 'opened');
    const cache = await withNumbers('opened', 1, 2, 3, 4);
    const file = openSync(path.join(mountPath, 'caches', cache.metadata.uid, '2', 'fill'), 'r');
    try {
      const { free, size } = usageOf(mountPath);
      await kit.changeCache('opened', { minFreePercent: Math.ceil(((free + (FILL_MIB / 2) * MIB) / size) * 100) });
      const pressed = await kit.cacheThat('opened', (each) => conditionOf(each, 'CapacityPressure') !== undefined);
      expect(numbersOf(pressed)).toEqual([3, 4]);
      expect(conditionOf(pressed, 'CapacityPressure')?.message).toMatch(/is not free yet; .* end what has files open/);
      // Another pass knows no more than this one.
      await kit.changeCache('opened', { keepGenerations: 9 });
      expect(numbersOf(await kit.cacheReady('opened'))).toEqual([3, 4]);
    } finally {
      closeSync(file);
    }
    await kit.changeCache('opened', { keepGenerations: 8 });
    const eased = await kit.cacheThat('opened', (each) => conditionOf(each, 'CapacityPressure') === undefined);
    expect(numbersOf(eased)).toEqual([3, 4]);
  });
});
