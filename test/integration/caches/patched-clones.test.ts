import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { areaOf, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;
let agent: OperatorProcess;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  kit = cacheKit(lab);
  await lab.createVolume('vol', { size: '512Mi' });
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const fileOf = (claim: BuildCacheClaim) => path.join(cloneOf(claim), 'file');

async function job(name: string, cache: string): Promise<BuildCacheClaim> {
  const claim = await kit.startJob(name, cache);
  writeFileSync(fileOf(claim), name);
  await kit.cacheThat(cache, ({ status }) => status.clones?.includes(claim.metadata.uid) === true);
  return claim;
}

/** What `kubectl patch --subresource=status` does. */
function patchClones(cache: string, clones: readonly string[]): Promise<unknown> {
  return kit.caches.patch(`default/${cache}`, { status: { clones } }, { type: 'merge', subresource: 'status' });
}

/** Nobody knows the claim any more: it was taken away by force, or the API server is of before it. */
async function forget({ metadata: { name } }: BuildCacheClaim): Promise<void> {
  await kit.claims.delete(`default/${name}`);
  await kit.claims.patch(`default/${name}`, { metadata: { finalizers: null } }, { type: 'merge' });
}

test('F43 BuildCache: a clone that only somebody else has named in status.clones stays, as an orphan', async () => {
  await kit.createCache('forged', 'vol');
  const young = await job('young', 'forged');
  await agent.end();
  await forget(young);
  // As an API server that was restored from before: it has never been told of the claim.
  await patchClones('forged', []);
  await patchClones('forged', [young.metadata.uid]);
  await kit.changeCache('forged', { pinnedGeneration: 99 });
  agent = await lab.startAgent('node-a');
  // A pass that does not come as far as to look for clones does not make that list its own.
  await kit.cacheThat('forged', (cache) => conditionOf(cache, 'Ready')?.reason === 'GenerationNotFound');
  await kit.caches.patch('default/forged', { spec: { pinnedGeneration: null } }, { type: 'merge' });
  const live = await job('live', 'forged');
  const { status } = await kit.cacheThat('forged', (cache) => cache.status.clones?.length === 1);
  expect(status.clones).toEqual([live.metadata.uid]);
  expect(readFileSync(fileOf(young), 'utf8')).toBe('young');
  // Nor does the deletion of the cache.
  await patchClones('forged', [young.metadata.uid]);
  await kit.remove(live);
  await lab.kubectl(['delete', 'BuildCache/forged']);
  expect(readFileSync(fileOf(young), 'utf8')).toBe('young');
});

test('F43 BuildCache: a judged clone without a claim goes, whatever somebody has taken out of status.clones', async () => {
  await kit.createCache('emptied', 'vol');
  const judged = await job('judged', 'emptied');
  await agent.end();
  const recordPath = path.join(mountPath, 'claims', judged.metadata.uid, 'record.json');
  const record = JSON.parse(readFileSync(recordPath, 'utf8'));
  const released = { outcome: 'Discarded', reason: 'NotReleased', message: 'judged before the agent ended' };
  writeFileSync(recordPath, JSON.stringify({ ...record, released }));
  await forget(judged);
  await patchClones('emptied', []);
  agent = await lab.startAgent('node-a');
  await waitFor(() => !existsSync(fileOf(judged)), { what: 'end of the judged clone' });
  expect(areaOf(mountPath, 'claims').join()).not.toContain(judged.metadata.uid);
});

test('F43 BuildCache: the clone of a live claim stays, whatever is written of it', async () => {
  await kit.createCache('alive', 'vol', { keepGenerations: 1 });
  const claim = await job('alive', 'alive');
  await kit.claims.patch(
    'default/alive',
    { status: { baseGeneration: null, outcome: 'Discarded' } },
    { type: 'merge', subresource: 'status' },
  );
  await patchClones('alive', [claim.metadata.uid, 'another']);
  await agent.end();
  await patchClones('alive', []);
  agent = await lab.startAgent('node-a');
  await kit.cacheThat('alive', ({ status }) => status.clones?.join() === claim.metadata.uid);
  expect(readFileSync(fileOf(claim), 'utf8')).toBe('alive');
});
