import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { type OperatorProcess, startController } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { areaOf, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;
let agent: OperatorProcess;
let controller: OperatorProcess;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  controller = lab.controller;
  kit = cacheKit(lab);
  await lab.createVolume('vol');
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
});
afterAll(async () => {
  await controller?.end();
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

const fileIn = (claim: BuildCacheClaim, name = 'file') => path.join(cloneOf(claim), name);
const recordOf = (area: 'caches' | 'claims', uid: string) => path.join(mountPath, area, uid, 'record.json');
const startAgent = async () => {
  agent = await lab.startAgent('node-a');
};
const kill = async (process: OperatorProcess) => {
  process.kill('SIGKILL');
  await process.exited;
};
/** A job that has written its name into a file of its clone. */
const job = async (name: string, cache: string) => {
  const claim = await kit.startJob(name, cache);
  writeFileSync(fileIn(claim), name);
  return claim;
};
/** Deleted, and gone, while no agent runs: its finalizers were taken away by hand. */
async function force(object: Parameters<CacheKit['remove']>[0]): Promise<void> {
  const { kind, metadata } = object;
  const name = `${kind}/${metadata.name}`;
  await lab.kubectl(['delete', name, '--wait=false']);
  await lab.kubectl(['patch', name, '--type=merge', '--patch={"metadata":{"finalizers":null}}']);
}

describe('BuildCache: what is left over', () => {
  it('B2 BuildCache: after a restart unfinished work and clones without a claim are gone, said in an Event; live clones stay', async () => {
    await kit.createCache('left', 'vol');
    const [live, gone, used] = [await job('live', 'left'), await job('gone', 'left'), await job('used', 'left')];
    await createPod(lab, 'user', cloneOf(used));
    // What the API server was never told of would be an orphan.
    await kit.cacheThat('left', ({ status }) => status.clones?.length === 3);
    await agent.end();
    await Promise.all([gone, used].map(force));
    const cache = await kit.cacheReady('left');
    const halfMade = await kit.createClaim('half', 'left');
    for (const uid of [halfMade.metadata.uid, randomUUID()]) {
      mkdirSync(path.join(mountPath, 'claims', uid));
      const clone = path.join(mountPath, 'claims', uid, 'rw');
      sh('btrfs', 'subvolume', 'snapshot', path.join(mountPath, 'caches', cache.metadata.uid, '1'), clone);
      writeFileSync(path.join(clone, 'junk'), 'junk');
    }
    const unfinished = path.join(mountPath, 'staging', randomUUID());
    const stagingOf = ({ metadata }: { metadata: { uid: string } }) => path.join(mountPath, 'staging', metadata.uid);
    for (const each of [unfinished, path.join(unfinished, 'made'), stagingOf(cache), stagingOf(live)]) {
      sh('btrfs', 'subvolume', 'create', each);
    }
    const { uuid } = { uuid: sh('btrfs', 'subvolume', 'show', cloneOf(live)).match(/UUID: .*/)?.[0] };
    await startAgent();
    const made = await kit.claimReady('half');
    expect(readdirSync(cloneOf(made))).toEqual([]);
    const known = [live, made, used].map(({ metadata }) => metadata.uid).toSorted();
    await waitFor(
      () =>
        areaOf(mountPath, 'claims')
          .filter((entry) => !entry.includes('/'))
          .join() === known.join(),
      {
        what: 'clones of live and used claims only',
      },
    );
    await waitFor(() => areaOf(mountPath, 'staging').length === 0, { what: 'empty staging' });
    expect(readFileSync(fileIn(live), 'utf8')).toBe('live');
    expect(sh('btrfs', 'subvolume', 'show', cloneOf(live))).toContain(uuid);
    expect((await kit.claimReady('live')).status).toMatchObject({ baseGeneration: 1, path: cloneOf(live) });
    const cleaned = await waitFor(async () => (await lab.eventsOf(cache)).find(({ reason }) => reason === 'Cleaned'), {
      what: 'event Cleaned',
    });
    expect(cleaned.note).toContain('clone of claim gone');
    expect(readFileSync(fileIn(used), 'utf8')).toBe('used');
    await deletePods(lab, 'user');
    await kit.endJob('live');
    await waitFor(() => !existsSync(cloneOf(used)), {
      what: 'end of the clone that a pod had used',
      timeoutMs: 20_000,
    });
    await kit.cacheThat('left', ({ status }) => status.currentGeneration === 2);
  });

  it('B2 BuildCache: clones without a claim go with their cache', async () => {
    const cache = await kit.createCache('leaver', 'vol');
    const stray = await job('stray', 'leaver');
    await kit.cacheThat('leaver', ({ status }) => status.clones?.length === 1);
    await agent.end();
    await force(stray);
    await lab.kubectl(['delete', 'BuildCache/leaver', '--wait=false']);
    await startAgent();
    await waitFor(async () => (await kit.caches.get('default/leaver')) === undefined, { what: 'end of leaver' });
    expect(areaOf(mountPath, 'claims').join()).not.toContain(stray.metadata.uid);
    expect(areaOf(mountPath, 'caches').join()).not.toContain(cache.metadata.uid);
  });
});

describe('BuildCache: agent and controller end and start', () => {
  it('B18 B19 BuildCacheClaim: released while nothing runs, judged after a restart of everything by the base it had', async () => {
    await kit.createCache('restart', 'vol');
    const jobs = [await job('early', 'restart'), await job('late', 'restart')];
    await kit.endJob('early');
    const base = await job('next', 'restart');
    await Promise.all([kill(agent), controller.end()]);
    for (const name of ['late', 'next']) await kit.release(name);
    const { kubeconfigPath, dir } = lab;
    controller = startController({ kubeconfigPath, namespace: 'default', logDir: dir });
    await startAgent();
    const [late, next] = await Promise.all(
      ['late', 'next'].map((name) => kit.claimThat(name, ({ status }) => status.outcome !== undefined)),
    );
    expect([...jobs, base].map(({ status }) => status.baseGeneration)).toEqual([1, 1, 2]);
    expect(late?.status).toMatchObject({ outcome: 'Superseded', reason: 'NewerGeneration', baseGeneration: 1 });
    expect(next?.status).toMatchObject({ outcome: 'Published', generation: 3, baseGeneration: 2 });
    const cache = await kit.cacheThat('restart', ({ status }) => status.currentGeneration === 3);
    expect(cache.status.generations?.map(({ generation, from }) => [generation, from])).toEqual([
      [1, 'Empty'],
      [2, 'early'],
      [3, 'next'],
    ]);
  });

  it('B19 BuildCache: numbers only grow, over restarts too, after a reset, and when the newest was removed', async () => {
    await kit.changeCache('restart', { resetToken: 'again', keepGenerations: 1 });
    const { metadata } = await kit.cacheThat('restart', ({ status }) => status.currentGeneration === 4);
    await kill(agent);
    await startAgent();
    await job('fifth', 'restart');
    expect((await kit.endJob('fifth')).status).toMatchObject({ outcome: 'Published', generation: 5 });
    await kit.cacheThat('restart', ({ status }) => status.generations?.length === 1);
    const claim = await job('sixth', 'restart');
    await agent.end();
    sh('btrfs', 'subvolume', 'delete', path.join(mountPath, 'caches', metadata.uid, '5'));
    await kit.release('sixth');
    await startAgent();
    const sixth = await kit.claimThat('sixth', ({ status }) => status.outcome !== undefined);
    expect([claim.status.baseGeneration, sixth.status.outcome, sixth.status.generation]).toEqual([5, 'Published', 6]);
  });
});

describe('BuildCache: what is gone or damaged is said, never repaired by guessing', () => {
  it('DataMissing RecordDamaged BuildCache and BuildCacheClaim: nothing is made in the place of what was there', async () => {
    const [lost, torn] = [await kit.createCache('lost', 'vol'), await kit.createCache('torn', 'vol')];
    const [missing, damaged] = [await job('missing', 'torn'), await job('damaged', 'torn')];
    const kept = await job('kept', 'torn');
    await kit.cacheReady('lost');
    await agent.end();
    sh('btrfs', 'subvolume', 'delete', path.join(mountPath, 'caches', lost.metadata.uid, '1'), cloneOf(missing));
    for (const record of [recordOf('claims', damaged.metadata.uid), recordOf('caches', torn.metadata.uid)]) {
      writeFileSync(record, readFileSync(record, 'utf8').slice(0, 40));
    }
    await startAgent();
    const reason = async (name: string, is: string) =>
      await kit.claimThat(name, (claim) => conditionOf(claim, 'Ready')?.reason === is);
    await reason('missing', 'DataMissing');
    await reason('damaged', 'RecordDamaged');
    expect(readFileSync(fileIn(damaged), 'utf8')).toBe('damaged');
    await kit.cacheThat('lost', (cache) => conditionOf(cache, 'Ready')?.reason === 'DataMissing');
    await kit.cacheThat('torn', (cache) => conditionOf(cache, 'Ready')?.reason === 'RecordDamaged');
    for (const name of ['kept', 'damaged']) await kit.release(name);
    await reason('kept', 'CacheNotReady');
    await reason('damaged', 'RecordDamaged');
    expect(readFileSync(fileIn(kept), 'utf8')).toBe('kept');
    for (const name of ['lost', 'torn']) {
      await kit.createClaim(`wants-${name}`, name);
      await reason(`wants-${name}`, 'CacheNotReady');
    }
    expect((await kit.endJob('missing')).status).toMatchObject({ outcome: 'Discarded', reason: 'CloneMissing' });
    await Promise.all([kept, damaged, missing].map((claim) => kit.remove(claim)));
    await kit.changeCache('lost', { resetToken: 'start anew' });
    await kit.cacheThat('lost', ({ status }) => status.currentGeneration === 2);
    expect((await kit.claimReady('wants-lost')).status.baseGeneration).toBe(2);
    await Promise.all(
      [lost, torn].map((cache) => lab.kubectl(['delete', `BuildCache/${cache.metadata.name}`, '--wait=false'])),
    );
    for (const name of ['lost', 'torn']) await lab.kubectl(['delete', `BuildCacheClaim/wants-${name}`]);
    await waitFor(async () => (await kit.caches.get('default/torn')) === undefined, { what: 'end of torn' });
  });
});
