import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collectGarbageOf } from '../../cluster/garbage.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab, conditionOf as volumeCondition } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { areaOf, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A volume, a cache with two generations, a claim that works, and one that was released; all named after `name`. */
async function family(name: string): Promise<string> {
  await lab.createVolume(name, { size: '256Mi' });
  const { status } = await lab.ready(name);
  await kit.createCache(name, name);
  for (const job of [`${name}-done`, `${name}-works`]) {
    writeFileSync(path.join(cloneOf(await kit.startJob(job, name)), 'file'), job);
  }
  await kit.endJob(`${name}-done`);
  return status.mountPath ?? '';
}

const startDeletion = (...names: readonly string[]) => lab.kubectl(['delete', '--wait=false', ...names]);
/** Deleted, and its finalizers taken away by hand. */
async function force(name: string): Promise<void> {
  await startDeletion(name);
  await lab.kubectl(['patch', name, '--type=merge', '--patch={"metadata":{"finalizers":null}}']);
}
const objectsOf = (name: string) => [`lbv/${name}`, `bcache/${name}`, `bclaim/${name}-works`, `bclaim/${name}-done`];
const isGone = async (name: string) =>
  (await lab.kubectl(['get', '--ignore-not-found', '--output=name', ...objectsOf(name)])) === '';
const allGone = (name: string) =>
  waitFor(() => isGone(name), { what: `end of all of ${name}`, timeoutMs: 25_000, everyMs: 200 });

describe('BuildCache, its claims and its volume: deletion', () => {
  it('C23 LoopbackVolume: waits for caches and claims, naming them; each goes, and the volume last', async () => {
    const mountPath = await family('inward');
    await startDeletion('lbv/inward');
    const waits = await lab.withReason('inward', 'Removed', 'HasDependents');
    expect(volumeCondition(waits, 'Removed')?.message).toContain('BuildCaches default/inward');
    expect(volumeCondition(waits, 'Removed')?.message).toContain('default/inward-done, default/inward-works');
    await startDeletion('bcache/inward');
    const cache = await kit.cacheThat('inward', (each) => conditionOf(each, 'Removed')?.reason === 'HasDependents');
    expect(conditionOf(cache, 'Removed')?.message).toMatch(/claims that still work with clones: inward-works$/);
    expect(areaOf(mountPath, 'caches')).toEqual([]);
    await startDeletion('bclaim/inward-works', 'bclaim/inward-done');
    await allGone('inward');
  });

  it('B21 BuildCacheClaim: one whose job is gone is discarded and removed by the garbage collector of Kubernetes', async () => {
    const mountPath = await family('owned');
    await lab.kubectl(['create', 'configmap', 'job']);
    const uid = await lab.kubectl(['get', 'configmap', 'job', '--output=jsonpath={.metadata.uid}']);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'job', uid }];
    const spec = { cacheRef: { name: 'owned' } };
    await kit.claims.create({ metadata: { namespace: 'default', name: 'owned-left', ownerReferences }, spec });
    const claim = await kit.claimReady('owned-left');
    writeFileSync(path.join(cloneOf(claim), 'file'), 'half-done');
    await lab.kubectl(['delete', 'configmap', 'job']);
    await collectGarbageOf(kit.claims, { uid });
    await waitFor(async () => (await kit.claims.get('default/owned-left')) === undefined, { what: 'end of the claim' });
    expect(areaOf(mountPath, 'claims').filter((entry) => entry.startsWith(claim.metadata.uid))).toEqual([]);
    await lab.event(claim, 'Discarded');
    const cache = await kit.cacheThat('owned', ({ status }) => status.discarded === 1);
    expect(cache.status.currentGeneration).toBe(2);
    await startDeletion(...objectsOf('owned'));
    await allGone('owned');
  });

  it('C23 BuildCache: deleted claims first, then the cache, nothing of them is left in the volume', async () => {
    const mountPath = await family('outward');
    await lab.kubectl(['delete', 'bclaim/outward-works', 'bclaim/outward-done']);
    expect(areaOf(mountPath, 'claims')).toEqual([]);
    await lab.kubectl(['delete', 'bcache/outward']);
    expect([...areaOf(mountPath, 'caches'), ...areaOf(mountPath, 'staging')]).toEqual([]);
    expect(sh('btrfs', 'subvolume', 'list', '-o', mountPath).split('\n')).toHaveLength(1);
    await lab.kubectl(['delete', 'lbv/outward']);
  });

  it('C23 all at once: volume, cache and claims converge', async () => {
    await family('once');
    await startDeletion(...objectsOf('once'));
    await allGone('once');
  });

  it('C23 all at once while the volume is not mounted: they go with it', async () => {
    await family('closed');
    await lab.change('closed', { mounted: false });
    await lab.volumeThat('closed', ({ status }) => status.mountPath === undefined);
    await startDeletion(...objectsOf('closed'));
    await allGone('closed');
  });

  it('C23 claims of a cache that was removed by force wait for a volume that can not be looked into', async () => {
    await family('hidden');
    await lab.change('hidden', { mounted: false });
    await lab.volumeThat('hidden', ({ status }) => status.mountPath === undefined);
    await force('bcache/hidden');
    await startDeletion('bclaim/hidden-works');
    const waits = await kit.claimThat('hidden-works', (each) => conditionOf(each, 'Removed')?.status === 'False');
    expect(conditionOf(waits, 'Removed')).toMatchObject({ reason: 'VolumeNotReady' });
    expect(conditionOf(waits, 'Removed')?.message).toContain('LoopbackVolume hidden');
    await lab.change('hidden', { mounted: true });
    const { status } = await lab.ready('hidden');
    await waitFor(async () => (await kit.claims.get('default/hidden-works')) === undefined, {
      what: 'end of the claim',
      timeoutMs: 25_000,
    });
    expect(areaOf(status.mountPath ?? '', 'claims').filter((entry) => entry.endsWith('/rw'))).toEqual([]);
  });
});

describe('BuildCacheClaim: what a live one outlives', () => {
  it('B21 BuildCacheClaim: a cache that was removed by force', async () => {
    await family('forced');
    const claim = await kit.claimReady('forced-works');
    await force('bcache/forced');
    writeFileSync(path.join(cloneOf(claim), 'file'), 'goes on');
    expect((await kit.endJob('forced-works')).status).toMatchObject({ outcome: 'Discarded', reason: 'CacheDeleted' });
    await waitFor(() => !existsSync(cloneOf(claim)), { what: 'end of the clone' });
    await startDeletion('bclaim/forced-works', 'bclaim/forced-done', 'lbv/forced');
    await allGone('forced');
  });

  it('BuildCacheClaim: its volume unmounted, and mounted again', async () => {
    await family('mounts');
    const claim = await kit.startJob('mounts-job', 'mounts');
    writeFileSync(path.join(cloneOf(claim), 'file'), 'stays');
    await lab.change('mounts', { mounted: false });
    await kit.claimThat('mounts-job', (each) => conditionOf(each, 'Ready')?.reason === 'VolumeNotReady');
    await kit.cacheThat('mounts', (cache) => conditionOf(cache, 'Ready')?.reason === 'VolumeNotReady');
    await lab.change('mounts', { mounted: true });
    const ready = await kit.claimReady('mounts-job');
    expect(readFileSync(path.join(cloneOf(ready), 'file'), 'utf8')).toBe('stays');
    expect([claim, ready].map(({ status }) => status.baseGeneration)).toEqual([2, 2]);
    await kit.cacheReady('mounts');
    expect((await kit.endJob('mounts-job')).status).toMatchObject({ outcome: 'Published', generation: 3 });
  });
});
