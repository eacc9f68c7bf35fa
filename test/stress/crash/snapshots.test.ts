import { afterAll, beforeAll, describe, it } from 'vitest';
import { type Coverage, strikeEveryBoundary } from '../../crash/boundaries.ts';
import { CrashSnapshots } from '../../crash/crash-snapshots.ts';
import { expectCoverage, faultKinds } from '../../crash/fault-kinds.ts';
import { localTrips, transferTrips } from '../../crash/snapshot-trips.ts';
import { startSupervisedAgent } from '../../crash/supervised-agent.ts';
import { type Lab, startLab } from '../../integration/lab.ts';

const TIMEOUT_MS = 360_000;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** Each test has a node of its own, so that what is on the host is its doing alone. */
describe.concurrent('Snapshot: nothing is lost or left', { timeout: TIMEOUT_MS }, () => {
  const groups = [
    { id: 'D6 D8 D13', what: 'create, commit and delete', trips: localTrips },
    { id: 'D6', what: 'a transfer to another volume', trips: transferTrips },
  ];
  const cases = faultKinds.flatMap((kind) => groups.map((group) => ({ ...kind, ...group })));

  it.for(cases)(
    '$id Snapshot: when the agent is $how each command of $what',
    async ({ how, faults, what, trips }, { onTestFailed }) => {
      const nodeName = `${how.split(' ')[0]}-${what.split(/\W/)[0]}`;
      const agent = await startSupervisedAgent(lab, nodeName);
      onTestFailed(() => console.error(agent.logTails()));
      const snapshots = new CrashSnapshots(lab, agent);
      await snapshots.start();
      const coverage: Coverage[] = [];
      for (const trip of trips) {
        await trip.prepare?.(snapshots);
        coverage.push(...(await strikeEveryBoundary(snapshots, trip.turns, faults, 'each-verb')));
      }
      if (trips === transferTrips && faults.includes('kill-after')) await killWhileSending(snapshots);
      await agent.stop();
      expectCoverage(coverage, faults);
    },
  );
});

/** The other end of the pipe waits for one that never comes: nothing of it is left in the way, nor for ever. */
async function killWhileSending(snapshots: CrashSnapshots): Promise<void> {
  for (const verb of ['btrfs send', 'btrfs receive']) {
    snapshots.agent.shims.arm([{ fault: 'kill-before', verb, number: 1 }]);
    await snapshots.create('half', 'there', 'base', {});
    await snapshots.expectConvergence();
    await snapshots.delete('half');
    await snapshots.expectConvergence();
  }
}
