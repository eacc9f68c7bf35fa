import { afterAll, beforeAll, describe, it } from 'vitest';
import { adoptionTurns } from '../../crash/adoption-turns.ts';
import { type Coverage, strikeEveryBoundary } from '../../crash/boundaries.ts';
import { CrashAdoption } from '../../crash/crash-adoption.ts';
import { expectCoverage, faultKinds } from '../../crash/fault-kinds.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../../integration/lab.ts';

const TIMEOUT_MS = 360_000;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe('source.adopt: nothing is lost or left', { timeout: TIMEOUT_MS }, () => {
  it.for(faultKinds)('C8 agent: $how each command of an adoption', async ({ how, faults }, { onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, how.split(' ')[0] ?? '');
    onTestFailed(() => console.error(agent.logTails()));
    const subject = new CrashAdoption(lab, agent);
    await subject.start();
    const coverage: Coverage[] = [];
    // One by one: what is to be adopted has to be lost before each time.
    for (const each of adoptionTurns)
      coverage.push(...(await strikeEveryBoundary(subject, [each], faults, 'each-verb')));
    await subject.expectClone();
    await agent.stop();
    expectCoverage(coverage, faults);
  });
});
