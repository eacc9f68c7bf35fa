import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeCoverage, strikeEveryBoundary } from '../crash/boundaries.ts';
import { chaosSeed } from '../crash/chaos-seed.ts';
import { CrashVolume } from '../crash/crash-volume.ts';
import { liveAtRandom } from '../crash/random-life.ts';
import { roundTrips } from '../crash/round-trips.ts';
import type { Fault } from '../crash/shims.ts';
import { startSupervisedAgent } from '../crash/supervised-agent.ts';
import { type Lab, startLab } from '../integration/lab.ts';

const KILLS = 200;
const FAULTS: readonly Fault[] = ['kill-before', 'kill-after', 'fail', 'lie'];

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe.concurrent('A19 LoopbackVolume: nothing is lost or left', () => {
  const cases = FAULTS.flatMap((fault) => roundTrips.map((trip) => ({ fault, ...trip })));

  it.for(cases)('with $fault at every single command of $name', async ({ fault, name, filled, turns }, context) => {
    const nodeName = `${fault}-${name.replaceAll(' ', '-')}`;
    const agent = await startSupervisedAgent(lab, nodeName);
    context.onTestFailed(() => console.error(agent.logTails()));
    const volume = new CrashVolume(lab, agent, nodeName);
    if (filled !== undefined) await volume.createFilled(filled);
    const coverage = await strikeEveryBoundary(volume, turns, [fault], 'each-command');
    await agent.stop();
    console.log(coverage.map(describeCoverage).join('\n'));
    for (const { struck } of coverage) expect(struck).not.toEqual([]);
  });

  it(`when the agent is killed ${KILLS} times at random while three volumes change`, async ({ onTestFailed }) => {
    const seed = chaosSeed();
    const agent = await startSupervisedAgent(lab, 'random');
    onTestFailed(() => console.error(agent.logTails()));
    await liveAtRandom(lab, agent, { seed, kills: KILLS, killsPerRest: 10 });
    await agent.stop();
    expect(agent.deaths).toBe(KILLS);
  });
});
