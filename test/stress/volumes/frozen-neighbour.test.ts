import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type CacheKit, cacheKit } from '../../integration/caches/kit.ts';
import { type Lab, startLab } from '../../integration/lab.ts';
import { sh } from '../../integration/recovery/host-view.ts';
import { type SnapshotKit, snapshotKit } from '../../integration/snapshots/kit.ts';

const SNAPSHOTS = 270;
const CLAIMS = 70;

let lab: Lab;
let snapshots: SnapshotKit;
let caches: CacheKit;
let frozenPath: string;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
  [snapshots, caches] = [snapshotKit(lab), cacheKit(lab)];
  for (const name of ['frozen', 'well']) {
    await lab.createVolume(name, { nodeName: 'node-a' });
    await lab.ready(name);
    await caches.createCache(name, name);
    await caches.cacheReady(name);
  }
  frozenPath = (await lab.ready('frozen')).status.mountPath ?? '';
});
afterAll(async () => {
  if (frozenPath !== undefined) sh('sh', '-c', `fsfreeze --unfreeze ${frozenPath} || true`);
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

/** How long a Snapshot, a claim and a growth take in the volume that is well, in milliseconds. */
async function serve(round: string, sizeMiB: number): Promise<number> {
  const startedAt = performance.now();
  await Promise.all([
    snapshots.create(`well-${round}`, 'well').then(() => snapshots.ready(`well-${round}`)),
    caches.startJob(`well-${round}`, 'well'),
    lab
      .change('well', { size: `${sizeMiB}Mi` })
      .then(() => lab.volumeThat('well', ({ status }) => status.sizeBytes === sizeMiB * 2 ** 20)),
  ]);
  return performance.now() - startedAt;
}

it(`F40 agent: ${SNAPSHOTS} Snapshots and ${CLAIMS} claims of a frozen volume hold up no other volume`, async () => {
  const aloneMs = await serve('alone', 1100);
  sh('fsfreeze', '--freeze', frozenPath);
  await Promise.all([
    ...Array.from({ length: SNAPSHOTS }, (_, i) => snapshots.create(`frozen-${i}`, 'frozen')),
    ...Array.from({ length: CLAIMS }, (_, i) => caches.createClaim(`frozen-${i}`, 'frozen')),
  ]);
  const times: number[] = [];
  for (const [i, size] of [1200, 1300, 1400, 1500].entries()) times.push(await serve(`beside-${i}`, size));
  console.log(
    `served in ${Math.round(aloneMs)} ms alone, in ${times.map((ms) => Math.round(ms)).join(', ')} ms beside a frozen volume`,
  );
  // Who is held up waits for as long as a command hangs. The first is served while the controller still places all the others.
  for (const ms of times) expect(ms).toBeLessThan(Math.max(5 * aloneMs, 30_000));

  sh('fsfreeze', '--unfreeze', frozenPath);
  for (let i = 0; i < SNAPSHOTS; i++) await snapshots.ready(`frozen-${i}`, 120_000);
  for (let i = 0; i < CLAIMS; i++) await caches.claimReady(`frozen-${i}`, 120_000);
});
