import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCache } from '../../../src/api/build-cache.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;
let snapshots: SnapshotKit;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  kit = cacheKit(lab);
  snapshots = snapshotKit(lab);
  await Promise.all(['vol', 'other'].map((name) => lab.createVolume(name, { size: '256Mi' })));
  await Promise.all(['vol', 'other'].map((name) => lab.ready(name)));
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

async function publish(name: string, cache: string): Promise<void> {
  writeFileSync(path.join(cloneOf(await kit.startJob(name, cache)), 'file'), name);
  expect((await kit.endJob(name)).status.outcome).toBe('Published');
}

const numbersOf = ({ status }: BuildCache) => status.generations?.map(({ generation }) => generation) ?? [];
const withNumbers = (name: string, ...numbers: readonly number[]) =>
  kit.cacheThat(name, (cache) => numbersOf(cache).join() === numbers.join());
const readyReason = (name: string, reason: string) =>
  kit.cacheThat(name, (cache) => conditionOf(cache, 'Ready')?.reason === reason);
const contentOf = async (name: string, cache: string) => {
  const claim = await kit.startJob(name, cache);
  return [claim.status.baseGeneration, readFileSync(path.join(cloneOf(claim), 'file'), 'utf8')];
};

describe('BuildCache: which generations there are', () => {
  it('keepGenerations BuildCache: the newest stay, with those that claims started from', async () => {
    await kit.createCache('keep', 'vol', { keepGenerations: 2 });
    await kit.startJob('keep-holds-1', 'keep');
    for (const name of ['keep-2', 'keep-3', 'keep-4']) await publish(name, 'keep');
    await withNumbers('keep', 1, 3, 4);
    await kit.endJob('keep-holds-1');
    await withNumbers('keep', 3, 4);
    expect(await contentOf('keep-reads', 'keep')).toEqual([4, 'keep-4']);
  });

  it('pinnedGeneration BuildCache: claims start from it, nothing publishes, it stays; without it the newest is back', async () => {
    await kit.createCache('pin', 'vol', { keepGenerations: 2 });
    for (const name of ['pin-2', 'pin-3']) await publish(name, 'pin');
    await withNumbers('pin', 2, 3);
    await kit.changeCache('pin', { pinnedGeneration: 2, keepGenerations: 1 });
    await kit.cacheReady('pin');
    expect(await contentOf('pin-reads', 'pin')).toEqual([2, 'pin-2']);
    writeFileSync(path.join(cloneOf(await kit.claimReady('pin-reads')), 'file'), 'changed');
    expect((await kit.endJob('pin-reads')).status).toMatchObject({ outcome: 'Discarded', reason: 'CachePinned' });
    await withNumbers('pin', 2, 3);
    await kit.changeCache('pin', { pinnedGeneration: 9 });
    const refused = await readyReason('pin', 'GenerationNotFound');
    expect(conditionOf(refused, 'Ready')?.message).toContain('there is no generation 9');
    await kit.createClaim('pin-waits', 'pin');
    await kit.claimThat('pin-waits', (claim) => conditionOf(claim, 'Ready')?.reason === 'CacheNotReady');
    await kit.changeCache('pin', { pinnedGeneration: null });
    const woken = await kit.claimReady('pin-waits');
    expect(woken.status.baseGeneration).toBe(3);
    await kit.endJob('pin-waits');
    await withNumbers('pin', 3);
  });

  it('resetToken BuildCache: a new value starts an empty generation, once', async () => {
    await kit.createCache('token', 'vol', { resetToken: 'made with it' });
    await publish('token-2', 'token');
    await kit.changeCache('token', { resetToken: 'another' });
    await withNumbers('token', 3);
    const claim = await kit.startJob('token-job', 'token');
    expect(readdirSync(cloneOf(claim))).toEqual([]);
    await kit.changeCache('token', { keepGenerations: 5 });
    const cache = await kit.cacheReady('token');
    expect([cache.status.currentGeneration, numbersOf(cache)]).toEqual([3, [3]]);
  });
});

describe('BuildCache: seed', () => {
  it('seed BuildCache: waits for a committed Snapshot of its volume, and then needs it no more', async () => {
    const seed = { snapshotRef: { name: 'seed' } };
    const cache = await kit.createCache('seeded', 'vol', { seed });
    await readyReason('seeded', 'SourceNotFound');
    await kit.createClaim('seeded-job', 'seeded');
    await kit.claimThat('seeded-job', (claim) => conditionOf(claim, 'Ready')?.reason === 'CacheNotReady');
    writeFileSync(path.join(dataPathOf(await lab.ready('vol')), 'file'), 'seed');
    await snapshots.create('seed', 'vol', { access: 'ReadWrite' });
    await readyReason('seeded', 'SourceNotCommitted');
    await snapshots.change('seed', { access: 'ReadOnly' });
    const claim = await kit.claimReady('seeded-job');
    expect([claim.status.baseGeneration, readFileSync(path.join(cloneOf(claim), 'file'), 'utf8')]).toEqual([1, 'seed']);
    expect((await kit.cacheReady('seeded')).status.generations?.map(({ from }) => from)).toEqual(['Seed']);
    await snapshots.remove('seed');
    expect(await contentOf('seeded-next', 'seeded')).toEqual([1, 'seed']);
    await kit.changeCache('seeded', { resetToken: 'empty' });
    await waitFor(async () => (await kit.caches.get('default/seeded'))?.status.currentGeneration === 2, {
      what: 'reset',
    });
    expect(readdirSync(cloneOf(await kit.startJob('seeded-empty', 'seeded')))).toEqual([]);
    expect((await lab.eventsOf(cache)).map(({ note }) => note)).toContainEqual('generation 1, made of Snapshot seed');
  });

  it('seed BuildCache: a Snapshot of another volume is refused', async () => {
    await snapshots.create('elsewhere', 'other');
    await snapshots.ready('elsewhere');
    await kit.createCache('misseeded', 'vol', { seed: { snapshotRef: { name: 'elsewhere' } } });
    const refused = await readyReason('misseeded', 'SourceElsewhere');
    expect(conditionOf(refused, 'Stalled')?.status).toBe('True');
  });
});

describe('BuildCache: what people see', () => {
  it('kubectl get BuildCache and BuildCacheClaim: columns that answer the first question', async () => {
    await kit.createCache('shown', 'vol');
    await publish('shown-job', 'shown');
    await kit.createClaim('shown-next', 'shown');
    await kit.claimReady('shown-next');
    await kit.cacheThat('shown', ({ status }) => status.published === 1 && status.activeClaims === 1);
    const columns = async (...names: readonly string[]) =>
      (await lab.kubectl(['get', ...names]))
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/\s{2,}/));
    const [caches, cache] = await columns('bcache', 'shown');
    expect(caches?.slice(0, 7)).toEqual(['NAME', 'READY', 'REASON', 'VOLUME', 'GENERATION', 'PINNED', 'CLAIMS']);
    expect(cache?.slice(0, 6)).toEqual(['shown', 'True', 'Ready', 'vol', '2', '1']);
    const [claims, job] = await columns('bclaim', 'shown-job');
    expect(claims?.slice(0, 8)).toEqual([
      'NAME',
      'READY',
      'REASON',
      'CACHE',
      'BASE',
      'RELEASE',
      'OUTCOME',
      'GENERATION',
    ]);
    expect(job?.slice(0, 8)).toEqual(['shown-job', 'True', 'Published', 'shown', '1', 'Publish', 'Published', '2']);
  });

  it('metrics BuildCache: hits, misses, outcomes and times are counted, and end with the cache', async () => {
    const metrics = async () => await (await fetch(new URL('/metrics', await agent.metricsUrl()))).text();
    const shown = 'namespace="default",name="shown"';
    const text = await metrics();
    expect(text).toContain(`btrfs_cache_clones_total{${shown},result="miss"} 1`);
    expect(text).toContain(`btrfs_cache_clones_total{${shown},result="hit"} 1`);
    expect(text).toContain(`btrfs_cache_releases_total{${shown},outcome="Published"} 1`);
    expect(text).toMatch(/btrfs_cache_operation_duration_seconds_count\{operation="publish"\} [1-9]/);
    const claim = await kit.claimReady('shown-next');
    const cache = await kit.cacheReady('shown');
    await kit.remove(claim);
    await kit.remove(cache);
    await waitFor(async () => !(await metrics()).includes('name="shown"'), { what: 'end of the series' });
    for (const [object, reasons] of [
      [claim, ['Cloned', 'Discarded', 'Removed']],
      [cache, ['Created', 'Removed']],
    ] as const) {
      for (const reason of reasons) await lab.event(object, reason);
    }
    expect(existsSync(cloneOf(claim))).toBe(false);
  });

  it('ttlSecondsAfterReleased BuildCacheClaim: goes by itself that long after its release was judged', async () => {
    await kit.createCache('ttl', 'vol');
    await kit.startJob('ttl-none', 'ttl', { ttlSecondsAfterReleased: 0 });
    await kit.startJob('ttl-long', 'ttl', { ttlSecondsAfterReleased: 3600 });
    await Promise.all([kit.release('ttl-none'), kit.endJob('ttl-long')]);
    await waitFor(async () => (await kit.claims.get('default/ttl-none')) === undefined, { what: 'end of ttl-none' });
    expect((await kit.claims.get('default/ttl-long'))?.metadata.deletionTimestamp).toBeUndefined();
  });
});
