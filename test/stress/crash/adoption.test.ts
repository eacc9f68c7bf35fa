import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Coverage, strikeEveryBoundary, type Turn } from '../../crash/boundaries.ts';
import { type AdoptedKind, CrashAdoption } from '../../crash/crash-adoption.ts';
import { expectCoverage, faultKinds } from '../../crash/fault-kinds.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../../integration/lab.ts';

const TIMEOUT_MS = 360_000;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** How an adopted volume is brought up is struck with volumes that are not. */
const turn = (kind: AdoptedKind, rest: Partial<Turn<CrashAdoption>> = {}): Turn<CrashAdoption> => ({
  name: `adopt ${kind}`,
  prepare: (subject) => subject.lose(kind),
  change: (subject) => subject.adopt(kind),
  ...rest,
});
const turns = [
  turn('LoopbackVolume', { news: ['umount', 'losetup --detach', 'chattr -i'] }),
  turn('Snapshot', {
    order: ['cp', 'mv', 'btrfs filesystem sync'],
    news: ['cp', 'sync', 'mv', 'btrfs filesystem sync'],
  }),
  turn('BuildCache', { order: ['cp', 'mv', 'btrfs filesystem sync'], news: ['mv'] }),
];

describe('source.adopt: nothing is lost or left', { timeout: TIMEOUT_MS }, () => {
  it.for(faultKinds)('C8 agent: $how each command of an adoption', async ({ how, faults }, { onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, how.split(' ')[0] ?? '');
    onTestFailed(() => console.error(agent.logTails()));
    const subject = new CrashAdoption(lab, agent);
    await subject.start();
    const coverage: Coverage[] = [];
    // One by one: what is to be adopted has to be lost before each time.
    for (const each of turns) coverage.push(...(await strikeEveryBoundary(subject, [each], faults, 'each-verb')));
    await subject.expectClone();
    await agent.stop();
    expectCoverage(coverage, faults);
  });
});
