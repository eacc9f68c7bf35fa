import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Coverage, strikeEveryBoundary } from '../../crash/boundaries.ts';
import { cacheTrips } from '../../crash/cache-trips.ts';
import { CrashCaches } from '../../crash/crash-caches.ts';
import { expectCoverage, faultKinds } from '../../crash/fault-kinds.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../../integration/lab.ts';

const TIMEOUT_MS = 360_000;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** Each test has a node of its own, so that what is on the host is its doing alone. */
describe.concurrent('BuildCache: nothing is lost, left or published twice', { timeout: TIMEOUT_MS }, () => {
  it.for(faultKinds)(
    'B18 BuildCache: when the agent is $how each command of create, clone, publish, reset and delete',
    async ({ how, faults }, { onTestFailed }) => {
      const agent = await startSupervisedAgent(lab, `${how.split(' ')[0]}`);
      onTestFailed(() => console.error(agent.logTails()));
      const caches = new CrashCaches(lab, agent);
      await caches.start();
      const coverage: Coverage[] = [];
      for (const trip of cacheTrips) {
        await trip.prepare?.(caches);
        coverage.push(...(await strikeEveryBoundary(caches, trip.turns, faults, 'each-verb')));
      }
      await agent.stop();
      expectCoverage(coverage, faults);
    },
  );
});
