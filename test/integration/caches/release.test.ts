import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { asUser, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
  await lab.createVolume('vol');
  await lab.ready('vol');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const OWNER = { uid: 1000, gid: 1000, mode: '0755' };
const fileIn = (claim: BuildCacheClaim, name = 'file') => path.join(cloneOf(claim), name);
const gone = (claim: BuildCacheClaim) => waitFor(() => !existsSync(cloneOf(claim)), { what: 'end of the clone' });

/** A job that has worked in its clone. */
async function job(name: string, cache: string, work = (dir: string) => writeFileSync(`${dir}/file`, name)) {
  const claim = await kit.startJob(name, cache);
  work(cloneOf(claim));
  return claim;
}

/** A cache with a second generation that holds a file. */
async function filled(name: string, spec: Record<string, unknown> = {}): Promise<void> {
  await kit.createCache(name, 'vol', { owner: OWNER, ...spec });
  await job(`${name}-first`, name);
  expect((await kit.endJob(`${name}-first`)).status.outcome).toBe('Published');
}

describe('BuildCacheClaim: who publishes', () => {
  it('B17 BuildCache: publishPolicy LastWriterWins publishes all, Never none', async () => {
    await filled('last', { publishPolicy: 'LastWriterWins' });
    await Promise.all(['last-a', 'last-b'].map((name) => job(name, 'last')));
    expect((await kit.endJob('last-a')).status).toMatchObject({ outcome: 'Published', generation: 3 });
    expect((await kit.endJob('last-b')).status).toMatchObject({ outcome: 'Published', generation: 4 });
    expect(readFileSync(fileIn(await kit.startJob('last-c', 'last')), 'utf8')).toBe('last-b');
    await kit.changeCache('last', { publishPolicy: 'Never' });
    await kit.cacheReady('last');
    await job('last-d', 'last');
    expect((await kit.endJob('last-d')).status).toMatchObject({ outcome: 'Discarded', reason: 'PublishPolicyNever' });
  });

  it('B17 BuildCacheClaim: Discard, ReadOnly and no release publish nothing', async () => {
    await filled('none');
    const readOnly = await kit.startJob('none-ro', 'none', { access: 'ReadOnly', owner: { uid: 4, gid: 4 } });
    expect(() => writeFileSync(fileIn(readOnly), 'x')).toThrow('EROFS');
    expect(readOnly.status.mount?.options).toContain('ro');
    expect(sh('stat', '--format=%u %g', cloneOf(readOnly))).toBe('4 4');
    expect((await kit.endJob('none-ro')).status).toMatchObject({ outcome: 'Unchanged', reason: 'ReadOnly' });
    const discarded = await job('none-discard', 'none');
    expect((await kit.endJob('none-discard', 'Discard')).status).toMatchObject({
      outcome: 'Discarded',
      reason: 'DiscardAsked',
    });
    const left = await job('none-left', 'none');
    await kit.remove(left);
    expect((await lab.event(left, 'Discarded')).note).toMatch(/^NotReleased:/);
    await Promise.all([readOnly, discarded, left].map(gone));
    const cache = await kit.cacheThat('none', ({ status }) => status.discarded === 2 && status.unchanged === 1);
    expect(cache.status.currentGeneration).toBe(2);
  });
});

describe('BuildCacheClaim: a cache that goes while it works', () => {
  it('B21 BuildCache: reset while a claim lives discards its release, and nothing comes back', async () => {
    await filled('reset');
    const claim = await job('reset-live', 'reset');
    await kit.changeCache('reset', { resetToken: '1' });
    await kit.cacheThat('reset', ({ status }) => status.currentGeneration === 3);
    writeFileSync(fileIn(claim, 'more'), 'more');
    expect((await kit.endJob('reset-live')).status).toMatchObject({ outcome: 'Discarded', reason: 'CacheReset' });
    const next = await kit.startJob('reset-next', 'reset');
    expect([next.status.baseGeneration, readdirSync(cloneOf(next))]).toEqual([3, []]);
    const cache = await kit.cacheThat('reset', ({ status }) => status.generations?.length === 1);
    expect(cache.status.currentGeneration).toBe(3);
  });

  it('B21 BuildCache: deleted while a claim lives: the job goes on, its release is discarded, then the object goes', async () => {
    await filled('going');
    const claim = await job('going-live', 'going');
    const old = await kit.cacheReady('going');
    await lab.kubectl(['delete', 'bcache/going', '--wait=false']);
    const waits = await kit.cacheThat('going', (cache) => conditionOf(cache, 'Removed')?.reason === 'HasDependents');
    expect(conditionOf(waits, 'Removed')?.message).toContain('going-live');
    await kit.createClaim('going-late', 'going');
    writeFileSync(fileIn(claim, 'more'), 'more');
    expect((await kit.endJob('going-live')).status).toMatchObject({ outcome: 'Discarded', reason: 'CacheDeleted' });
    await waitFor(async () => (await kit.caches.get('default/going')) === undefined, { what: 'end of the cache' });
    const anew = await kit.createCache('going', 'vol');
    expect(anew.metadata.uid).not.toBe(old.metadata.uid);
    const late = await kit.claimReady('going-late');
    expect([late.status.baseGeneration, readdirSync(cloneOf(late))]).toEqual([1, []]);
  });

  it('B21 BuildCache: what was asked of it before a release counts, also a moment before', async () => {
    const asks = [
      [{ pinnedGeneration: 1 }, 'CachePinned'],
      [{ resetToken: 'now' }, 'CacheReset'],
      [{ publishPolicy: 'Never' }, 'PublishPolicyNever'],
    ] as const;
    for (const [spec, reason] of asks) {
      const name = `before-${reason.toLowerCase()}`;
      await kit.createCache(name, 'vol');
      await job(name, name);
      await kit.changeCache(name, spec);
      expect((await kit.endJob(name)).status).toMatchObject({ outcome: 'Discarded', reason });
    }
    await kit.changeCache('before-cachereset', { resetToken: 'again' });
    const { status } = await kit.startJob('after-reset', 'before-cachereset');
    expect(status.baseGeneration).toBe(3);
  });

  it('B21 BuildCacheClaim: released and deleted at once it is still judged', async () => {
    await filled('hasty');
    const claim = await job('hasty-job', 'hasty');
    await kit.release('hasty-job');
    await kit.remove(claim);
    const cache = await kit.cacheThat('hasty', ({ status }) => status.published === 2);
    expect(cache.status.generations?.at(-1)).toMatchObject({ generation: 3, from: 'hasty-job' });
    await gone(claim);
  });
});

describe('BuildCacheClaim: clones that do not go at once', () => {
  it('NestedSubvolumes BuildCacheClaim: a job that made subvolumes publishes nothing, and the clone goes all the same', async () => {
    await filled('nested');
    const nest = 'btrfs subvolume create a && mkdir a/b && btrfs subvolume create "a/b/c\nd" && touch "a/b/c\nd/x"';
    for (const [name, run] of [
      ['nested-root', (dir: string) => sh('sh', '-c', `cd "$1" && ${nest}`, 'sh', dir)],
      ['nested-user', (dir: string) => asUser(nest, dir)],
      ['nested-sealed', (dir: string) => asUser(`${nest} && btrfs property set -t subvol . ro true`, dir)],
      ['nested-sealed-within', (dir: string) => asUser(`${nest} && btrfs property set -t subvol a ro true`, dir)],
    ] as const) {
      const claim = await job(name, 'nested', run);
      const ended = await kit.endJob(name);
      expect(ended.status).toMatchObject({ outcome: 'Discarded', reason: 'NestedSubvolumes' });
      await gone(claim);
      expect((await lab.event(claim, 'Discarded')).type).toBe('Warning');
    }
  });

  it('rule 8 BuildCacheClaim: mounted by hand or by a pod when released: judged at once, removed later', async () => {
    await filled('used', { publishPolicy: 'LastWriterWins' });
    const [byHand, byPod] = [await job('by-hand', 'used'), await job('by-pod', 'used')];
    const at = path.join(lab.dir, 'by-hand');
    mkdirSync(at);
    const { device = '', options = [] } = byHand.status.mount ?? {};
    sh('mount', '-t', 'btrfs', '-o', options.join(), device, at);
    await createPod(lab, 'cache-user', fileIn(byPod, 'deep'));
    try {
      for (const claim of [byHand, byPod]) {
        const { name } = claim.metadata;
        expect((await kit.endJob(name)).status.outcome).toBe('Published');
        const used = await kit.claimThat(name, (each) => conditionOf(each, 'InUse')?.status === 'True');
        expect(conditionOf(used, 'Ready')?.status).toBe('True');
        expect(conditionOf(used, 'InUse')?.message).toContain(name === 'by-pod' ? 'default/cache-user' : at);
        expect(readFileSync(fileIn(claim), 'utf8')).toBe(name);
      }
      await lab.kubectl(['delete', 'bclaim/by-pod', 'bclaim/by-hand', '--wait=false']);
      await kit.claimThat('by-pod', (each) => conditionOf(each, 'Removed')?.reason === 'InUse');
      expect(readFileSync(path.join(at, 'file'), 'utf8')).toBe('by-hand');
    } finally {
      sh('umount', at);
    }
    await deletePods(lab, 'cache-user');
    await Promise.all([byHand, byPod].map(gone));
    await waitFor(async () => (await kit.claims.get('default/by-pod')) === undefined, { what: 'end of by-pod' });
  });
});
