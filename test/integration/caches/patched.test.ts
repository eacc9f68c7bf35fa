import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { BuildCacheClaim } from '../../../src/api/build-cache-claim.ts';
import { condition } from '../../builders/objects.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { areaOf, type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

let lab: Lab;
let kit: CacheKit;
let mountPath: string;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  kit = cacheKit(lab);
  await lab.createVolume('vol', { size: '512Mi' });
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
  await kit.createCache('cache', 'vol');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const fileOf = (claim: BuildCacheClaim) => path.join(cloneOf(claim), 'file');

/** A job that has written its name. */
async function job(name: string, spec: Record<string, unknown> = {}): Promise<BuildCacheClaim> {
  const claim = await kit.startJob(name, 'cache', spec);
  writeFileSync(fileOf(claim), name);
  return claim;
}

/** What `kubectl patch --subresource=status` does; other conditions stay. */
function patchStatus(name: string, status: Record<string, unknown>): Promise<BuildCacheClaim> {
  return kit.claims.patch(`default/${name}`, { status }, { type: 'merge', subresource: 'status' });
}

/** Another spec makes the agent look at the claim. */
async function looked(name: string, ttlSecondsAfterReleased: number): Promise<BuildCacheClaim> {
  const { metadata } = await kit.claims.patch(
    `default/${name}`,
    { spec: { ttlSecondsAfterReleased } },
    { type: 'merge' },
  );
  return await kit.claimThat(name, ({ status }) => status.observedGeneration === metadata.generation);
}

test('F43 BuildCacheClaim: an outcome that somebody writes ends no job and deletes no clone', async () => {
  const claim = await job('patched', { ttlSecondsAfterReleased: 0 });
  const released = condition('Released', 'True', { lastTransitionTime: '2026-01-01T00:00:00Z' });
  const conditions = [...(claim.status.conditions ?? []), released];
  await patchStatus('patched', { outcome: 'Discarded', reason: 'DiscardAsked', conditions });
  const seen = await looked('patched', 1);
  expect(readFileSync(fileOf(claim), 'utf8')).toBe('patched');
  expect(conditionOf(seen, 'Ready')).toMatchObject({ status: 'True', reason: 'Ready' });
  await kit.createClaim('witness', 'cache');
  await kit.claimReady('witness');
  expect((await kit.claims.get('default/patched'))?.metadata.deletionTimestamp).toBeUndefined();
  await looked('patched', 300);
  await kit.release('patched');
  await kit.claimThat('patched', ({ status }) => status.outcome === 'Published');
  expect(readFileSync(fileOf(await kit.startJob('after', 'cache')), 'utf8')).toBe('patched');
});

test('F43 BuildCacheClaim: an outcome that is written before a deletion throws no released work away', async () => {
  const claim = await job('hasty');
  await patchStatus('hasty', { outcome: 'Discarded', reason: 'DiscardAsked', baseGeneration: null });
  await kit.release('hasty');
  await kit.remove(claim);
  const cache = await kit.cacheThat('cache', ({ status }) => status.generations?.at(-1)?.from === 'hasty');
  expect(cache.status.generations?.length).toBeGreaterThan(1);
});

test('F43 BuildCacheClaim: what was judged stays when status loses it, and nothing is told twice', async () => {
  const claim = await job('told');
  const { status } = await kit.endJob('told');
  await waitFor(() => !existsSync(cloneOf(claim)), { what: 'end of the clone' });
  expect(areaOf(mountPath, 'claims')).toContain(`${claim.metadata.uid}/record.json`);
  await patchStatus('told', { outcome: null, reason: null, generation: null });
  const again = await looked('told', 200);
  expect(again.status).toMatchObject({ outcome: status.outcome, reason: status.reason, generation: status.generation });
  await kit.remove(claim);
  expect(areaOf(mountPath, 'claims').filter((entry) => entry.startsWith(claim.metadata.uid))).toEqual([]);
  const cache = await kit.cacheReady('cache');
  expect(cache.status.generations?.filter(({ from }) => from === 'told')).toHaveLength(1);
});

test('F44 BuildCacheClaim: goes with its clone whatever is written of its removal', async () => {
  const claim = await job('going');
  const removed = condition('Removed', 'True', { observedGeneration: 99 });
  await patchStatus('going', { outcome: 'Published', conditions: [...(claim.status.conditions ?? []), removed] });
  await kit.remove(claim);
  expect(sh('btrfs', 'subvolume', 'list', '-o', mountPath)).not.toContain(claim.metadata.uid);
});
