import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { startWriter } from '../volumes/writer.ts';
import { type CacheKit, cacheKit, cloneOf, conditionOf } from './kit.ts';

const MANY = 50;
/** Of a quiet machine; waitFor gives a busy one more. */
const LIMIT_MS = 10_000;

let lab: Lab;
let kit: CacheKit;
let agent: OperatorProcess;
let frozenPath: string | undefined;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a', { flags: ['--shutdown-grace-seconds=1'] });
  kit = cacheKit(lab);
  await lab.createVolume('vol');
  await lab.createVolume('frozen', { size: '256Mi' });
  await lab.ready('vol');
  const { status } = await lab.ready('frozen');
  await kit.createCache('stuck', 'frozen');
  await kit.startJob('stuck-live', 'stuck');
  sh('fsfreeze', '--freeze', status.mountPath ?? '');
  frozenPath = status.mountPath;
});
afterAll(async () => {
  thaw();
  await lab?.[Symbol.asyncDispose]();
});
const thaw = () => {
  if (frozenPath !== undefined) sh('fsfreeze', '--unfreeze', frozenPath);
  frozenPath = undefined;
};
beforeEach(() => lab.showLogsOnFailure());

describe(`BuildCacheClaim: ${MANY} at once`, () => {
  it(`B22 BuildCacheClaim: ${MANY} are Ready in seconds while a job writes without pause and a neighbour is frozen`, async () => {
    await kit.createCache('busy', 'vol');
    const worker = await kit.startJob('worker', 'busy');
    await using writer = startWriter({ dataPath: cloneOf(worker), logDir: lab.dir, name: 'writer' });
    await writer.writes(20);
    // These hang in the frozen volume, and hold up no other.
    await Promise.all(['stuck-a', 'stuck-b'].map((name) => kit.createClaim(name, 'stuck')));
    await kit.release('stuck-live');
    const names = Array.from({ length: MANY }, (_, index) => `many-${index}`);
    const before = writer.acknowledged();
    const startedAt = performance.now();
    await Promise.all(names.map((name) => kit.createClaim(name, 'busy')));
    const ready = await waitFor(
      async () => {
        const claims = (await kit.claims.list()).filter(({ metadata }) => names.includes(metadata.name));
        return claims.filter((claim) => conditionOf(claim, 'Ready')?.status === 'True').length === MANY && claims;
      },
      { what: `${MANY} claims Ready`, timeoutMs: LIMIT_MS, everyMs: 200 },
    );
    console.log(`${MANY} claims Ready in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    expect(writer.acknowledged()).toBeGreaterThan(before);
    expect(new Set(ready.map(({ status }) => status.baseGeneration))).toEqual(new Set([1]));
    expect(new Set(ready.map(cloneOf)).size).toBe(MANY);
    await writer.stop();
    expect((await kit.endJob('worker')).status).toMatchObject({ outcome: 'Published', generation: 2 });
    const six = ready.slice(0, 6);
    for (const claim of six.slice(0, 3)) writeFileSync(path.join(cloneOf(claim), 'file'), 'x');
    const ended = await Promise.all(six.map(({ metadata }) => kit.endJob(metadata.name)));
    expect(ended.map(({ status }) => status.outcome)).toEqual([
      ...Array(3).fill('Superseded'),
      ...Array(3).fill('Unchanged'),
    ]);
  });

  it('B22 agent: how long work on caches waited for other work is measured', async () => {
    const text = await (await fetch(new URL('/metrics', await agent.metricsUrl()))).text();
    const figure = (name: string) =>
      Number(text.match(new RegExp(`^btrfs_cache_lock_wait_seconds_${name} (\\S+)`, 'm'))?.[1]);
    expect(figure('count')).toBeGreaterThan(MANY);
    expect(figure('sum')).toBeGreaterThanOrEqual(0);
    expect(figure('sum') / figure('count')).toBeLessThan(5);
  });

  it('rule 13 BuildCacheClaim: what hung in the frozen volume goes on by itself when it is thawed', async () => {
    const waits = await kit.claims.get('default/stuck-a');
    expect(waits?.status.path).toBeUndefined();
    thaw();
    const { status } = await kit.claimReady('stuck-a', 60_000);
    expect(status.baseGeneration).toBe(1);
    const released = await kit.claimThat('stuck-live', (claim) => claim.status.outcome !== undefined, 60_000);
    expect(released.status.outcome).toBe('Unchanged');
  });
});
