import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adoptionTurns } from '../crash/adoption-turns.ts';
import { type Coverage, describeCoverage, strikeEveryBoundary } from '../crash/boundaries.ts';
import { CrashAdoption } from '../crash/crash-adoption.ts';
import type { Fault } from '../crash/shims.ts';
import { startSupervisedAgent } from '../crash/supervised-agent.ts';
import { type Lab, startLab } from '../integration/lab.ts';

const FAULTS: readonly Fault[] = ['kill-before', 'kill-after', 'fail', 'lie'];

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe('source.adopt: nothing is lost or left', () => {
  it.for(FAULTS)('C8 agent: with %s at every single command of an adoption', async (fault, { onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, fault);
    onTestFailed(() => console.error(agent.logTails()));
    const subject = new CrashAdoption(lab, agent);
    await subject.start();
    const coverage: Coverage[] = [];
    // One by one: what is to be adopted has to be lost before each time.
    for (const turn of adoptionTurns)
      coverage.push(...(await strikeEveryBoundary(subject, [turn], [fault], 'each-command')));
    await subject.expectClone();
    await agent.stop();
    console.log(coverage.map(describeCoverage).join('\n'));
    for (const { struck, turn } of coverage) expect(struck, turn.name).not.toEqual([]);
  });
});
