import { afterAll, beforeAll, describe, it } from 'vitest';
import { liveWithCache } from '../../crash/cache-life.ts';
import { chaosSeed } from '../../crash/chaos-seed.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../lab.ts';

/** `make chaos` has 500, 16 at once. */
const JOBS = 50;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe('B17 B19 BuildCache: jobs', () => {
  it(`${JOBS} jobs on one cache, 8 at once, while the agent is killed every few seconds`, async ({ onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, 'jobs');
    onTestFailed(() => console.error(agent.logTails()));
    await liveWithCache(lab, agent, { seed: chaosSeed(), jobs: JOBS, atOnce: 8 });
    await agent.stop();
  }, 300_000);
});
