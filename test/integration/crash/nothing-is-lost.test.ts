import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { strikeEveryBoundary } from '../../crash/boundaries.ts';
import { chaosSeed } from '../../crash/chaos-seed.ts';
import { expectConvergence } from '../../crash/convergence.ts';
import { CrashVolume } from '../../crash/crash-volume.ts';
import { expectCoverage, faultKinds } from '../../crash/fault-kinds.ts';
import { halfDone } from '../../crash/half-done.ts';
import { liveAtRandom } from '../../crash/random-life.ts';
import { roundTrips } from '../../crash/round-trips.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../lab.ts';

/** `make chaos` has 200, and strikes commands that only read and every repetition of a command, too. */
const KILLS = 10;
const TIMEOUT_MS = 240_000;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** Each test has a node (an agent and a root directory) of its own, so that what is on the host is its doing alone. */
describe.concurrent('A19 LoopbackVolume: nothing is lost or left', { timeout: TIMEOUT_MS }, () => {
  const cases = faultKinds.flatMap((kind) => roundTrips.map((trip) => ({ ...kind, ...trip })));

  it.for(cases)(
    'when the agent is $how each command of $name',
    async ({ how, faults, name, filled, turns }, { onTestFailed }) => {
      const nodeName = `${how.split(' ')[0]}-${name.replaceAll(' ', '-')}`;
      const agent = await startSupervisedAgent(lab, nodeName);
      onTestFailed(() => console.error(agent.logTails()));
      const volume = new CrashVolume(lab, agent, nodeName);
      if (filled !== undefined) await volume.createFilled(filled);
      const coverage = await strikeEveryBoundary(volume, turns, faults, 'each-verb');
      await agent.stop();
      expectCoverage(coverage, faults);
    },
  );

  it.for(halfDone)('when the agent is killed while $what', async ({ turn, plan, takeBack }, { onTestFailed }) => {
    const nodeName = `half-done-${halfDone.findIndex((one) => one.takeBack === takeBack)}`;
    const agent = await startSupervisedAgent(lab, nodeName, () => takeBack(agent.rootPath));
    onTestFailed(() => console.error(agent.logTails()));
    const volume = new CrashVolume(lab, agent, nodeName);
    if (turn === 'create') agent.shims.arm([plan]);
    await volume.create({ size: '256Mi' });
    await expectConvergence(agent.rootPath, [volume]);
    if (turn === 'delete') agent.shims.arm([plan]);
    await volume.delete();
    await expectConvergence(agent.rootPath, [volume]);
    expect(agent.deaths).toBe(1);
    await agent.stop();
  });

  it(`when the agent is killed ${KILLS} times at random while three volumes change`, async ({ onTestFailed }) => {
    const seed = chaosSeed();
    const agent = await startSupervisedAgent(lab, 'random');
    onTestFailed(() => console.error(agent.logTails()));
    await liveAtRandom(lab, agent, { seed, kills: KILLS, killsPerRest: 5 });
    await agent.stop();
    expect(agent.deaths).toBe(KILLS);
  });
});
