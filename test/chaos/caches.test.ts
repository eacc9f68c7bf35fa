import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Coverage, describeCoverage, strikeEveryBoundary } from '../crash/boundaries.ts';
import { liveWithCache } from '../crash/cache-life.ts';
import { cacheTrips } from '../crash/cache-trips.ts';
import { chaosSeed } from '../crash/chaos-seed.ts';
import { CrashCaches } from '../crash/crash-caches.ts';
import type { Fault } from '../crash/shims.ts';
import { startSupervisedAgent } from '../crash/supervised-agent.ts';
import { type Lab, startLab } from '../integration/lab.ts';

const FAULTS: readonly Fault[] = ['kill-before', 'kill-after', 'fail', 'lie'];
const JOBS = 500;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe('BuildCache: nothing is lost, left or published twice', () => {
  it.for(FAULTS)('with %s at every single command', async (fault, { onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, fault);
    onTestFailed(() => console.error(agent.logTails()));
    const caches = new CrashCaches(lab, agent);
    await caches.start();
    const coverage: Coverage[] = [];
    for (const trip of cacheTrips) {
      await trip.prepare?.(caches);
      coverage.push(...(await strikeEveryBoundary(caches, trip.turns, [fault], 'each-command')));
    }
    await agent.stop();
    console.log(coverage.map(describeCoverage).join('\n'));
    for (const { struck, turn } of coverage) expect(struck, turn.name).not.toEqual([]);
  });

  it(`${JOBS} jobs on one cache, 16 at once, while the agent is killed every few seconds`, async ({ onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, 'jobs');
    onTestFailed(() => console.error(agent.logTails()));
    await liveWithCache(lab, agent, { seed: chaosSeed(), jobs: JOBS, atOnce: 16 });
    await agent.stop();
  });
});
