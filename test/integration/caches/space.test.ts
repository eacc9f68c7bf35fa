import { closeSync, existsSync, openSync, statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCache } from '../../../src/api/build-cache.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';
import { fillFile, usageOf as usageAt } from './usage.ts';

const MIB = 1024 * 1024;
/** Of random bytes in each generation. */
const FILL_MIB = 40;

let lab: Lab;
let kit: CacheKit;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
  await lab.createVolume('vol', { size: '512Mi' });
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const usageOf = (at = mountPath) => usageAt(at);
const fill = (dir: string, mebibytes: number) => fillFile(path.join(dir, 'fill'), mebibytes);

/** A job whose generation shares nothing with those before it. */
async function publish(name: string, cache: string): Promise<void> {
  fill(cloneOf(await kit.startJob(name, cache)), FILL_MIB);
  expect((await kit.endJob(name)).status.outcome).toBe('Published');
}

const numbersOf = ({ status }: BuildCache) => status.generations?.map(({ generation }) => generation) ?? [];
const withNumbers = (name: string, ...numbers: readonly number[]) =>
  kit.cacheThat(name, (cache) => numbersOf(cache).join() === numbers.join());
/** Free space comes back by itself within a few seconds; the kernel alone would take half a minute. */
const freed = (before: number, mebibytes: number) =>
  waitFor(() => usageOf().free >= before + mebibytes * MIB, { what: `${mebibytes} MiB free again`, timeoutMs: 5_000 });

describe('BuildCache: space', () => {
  it('B23 BuildCacheClaim: the space of a discarded clone is free within 5 s', async () => {
    await kit.createCache('fresh', 'vol', { minFreePercent: 0 });
    const before = usageOf().free;
    fill(cloneOf(await kit.startJob('fresh-a', 'fresh')), 2 * FILL_MIB);
    expect(usageOf().free).toBeLessThan(before - 1.9 * FILL_MIB * MIB);
    const low = usageOf().free;
    await kit.endJob('fresh-a', 'Discard');
    await freed(low, 1.9 * FILL_MIB);
  });

  it('B23 BuildCache: the space of pruned generations is free within 5 s, and minFreePercent counts on it', async () => {
    await kit.createCache('pruned', 'vol', { keepGenerations: 10, minFreePercent: 0 });
    for (const name of ['pruned-2', 'pruned-3', 'pruned-4', 'pruned-5']) await publish(name, 'pruned');
    const cache = await withNumbers('pruned', 1, 2, 3, 4, 5);
    const before = usageOf();
    // Generations 1 and 2 go for keepGenerations, and that makes enough room: with room for half of 2 already there is.
    const minFreePercent = Math.floor(((before.free + (FILL_MIB / 2) * MIB) / before.size) * 100);
    // An open file keeps the kernel from giving the space back.
    const goingPath = path.join(mountPath, 'caches', cache.metadata.uid, '2');
    const file = openSync(path.join(goingPath, 'fill'), 'r');
    await kit.changeCache('pruned', { keepGenerations: 3, minFreePercent });
    await waitFor(() => !existsSync(goingPath), { what: 'end of generation 2' });
    closeSync(file);
    usageOf();
    await withNumbers('pruned', 3, 4, 5);
    await freed(before.free, 0.9 * FILL_MIB);
    await kit.changeCache('pruned', { keepGenerations: 2 });
    await withNumbers('pruned', 4, 5);
    const notes = (await lab.eventsOf(cache)).filter(({ reason }) => reason === 'Pruned').map(({ note }) => note);
    expect(notes.join('\n')).not.toContain('of the volume free');
  });

  it('minFreePercent BuildCache: the oldest go first, never from under a claim; CapacityPressure when nothing may go', async () => {
    await kit.changeCache('pruned', { keepGenerations: 10, minFreePercent: 0 });
    await kit.cacheReady('pruned');
    const held = await kit.startJob('holds-5', 'pruned');
    await publish('pruned-6', 'pruned');
    await publish('pruned-7', 'pruned');
    await withNumbers('pruned', 4, 5, 6, 7);
    const { free, size } = usageOf();
    const oneMore = Math.ceil(((free + (FILL_MIB / 2) * MIB) / size) * 100);
    await kit.changeCache('pruned', { minFreePercent: oneMore });
    await withNumbers('pruned', 5, 6, 7);
    await kit.changeCache('pruned', { minFreePercent: 90 });
    await withNumbers('pruned', 5, 7);
    const pressed = await kit.cacheThat('pruned', (cache) => conditionOf(cache, 'CapacityPressure')?.status === 'True');
    expect(conditionOf(pressed, 'CapacityPressure')?.message).toMatch(/less of the volume is free .* 90 %/);
    expect(conditionOf(pressed, 'Ready')?.status).toBe('True');
    await kit.endJob(held.metadata.name);
    await withNumbers('pruned', 7);
    await kit.changeCache('pruned', { minFreePercent: 1 });
    await kit.cacheThat('pruned', (cache) => conditionOf(cache, 'CapacityPressure') === undefined);
  });

  it('B24 LoopbackVolume: freeBytes is what btrfs says while not all is allocated, and what can be written', async () => {
    await lab.createVolume('empty', { size: '256Mi' });
    const volume = await lab.ready('empty');
    const { free, unallocated } = usageOf(volume.status.mountPath);
    const { freeBytes = 0 } = volume.status;
    expect(unallocated).toBeGreaterThan(free / 2);
    expect(Math.abs(freeBytes - free)).toBeLessThan(0.02 * free);
    expect(fill(dataPathOf(volume), 256)).not.toBe(0);
    const writtenBytes = statSync(path.join(dataPathOf(volume), 'fill')).size;
    expect(writtenBytes / freeBytes).toBeGreaterThan(0.85);
    expect(writtenBytes / freeBytes).toBeLessThan(1.02);
  });
});
