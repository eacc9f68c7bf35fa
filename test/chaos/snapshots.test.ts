import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Coverage, describeCoverage, strikeEveryBoundary } from '../crash/boundaries.ts';
import { CrashSnapshots } from '../crash/crash-snapshots.ts';
import type { Fault } from '../crash/shims.ts';
import { exportTrips, localTrips, transferTrips } from '../crash/snapshot-trips.ts';
import { startSupervisedAgent } from '../crash/supervised-agent.ts';
import { type Lab, startLab } from '../integration/lab.ts';

const FAULTS: readonly Fault[] = ['kill-before', 'kill-after', 'fail', 'lie'];

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

describe.concurrent('D6 D8 D13 Snapshot: nothing is lost or left', () => {
  const groups = [
    { what: 'local', trips: localTrips },
    { what: 'transfer', trips: transferTrips },
    { what: 'export', trips: exportTrips },
  ];
  const cases = FAULTS.flatMap((fault) => groups.map((group) => ({ fault, ...group })));

  it.for(cases)('with $fault at every single command: $what', async ({ fault, what, trips }, { onTestFailed }) => {
    const agent = await startSupervisedAgent(lab, `${fault}-${what}`);
    onTestFailed(() => console.error(agent.logTails()));
    const snapshots = new CrashSnapshots(lab, agent);
    await snapshots.start();
    const coverage: Coverage[] = [];
    for (const trip of trips) {
      await trip.prepare?.(snapshots);
      coverage.push(...(await strikeEveryBoundary(snapshots, trip.turns, [fault], 'each-command')));
    }
    await agent.stop();
    console.log(coverage.map(describeCoverage).join('\n'));
    for (const { struck, turn, commands } of coverage) {
      // Who only reads is not lied to.
      const isStruck = fault !== 'lie' || commands.some(({ kind }) => kind === 'changing');
      if (isStruck) expect(struck, turn.name).not.toEqual([]);
    }
  });
});
