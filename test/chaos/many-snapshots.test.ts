import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../cluster/processes.ts';
import { type Lab, startLab } from '../integration/lab.ts';
import { snapshotKit } from '../integration/snapshots/kit.ts';
import { createMany, deleteMany, deleteOne, type Many } from '../integration/snapshots/many.ts';

const MANY = 1_000;

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Most memory that the process ever had. */
function peakMebibytes({ pid }: OperatorProcess): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kibibytes) / 1024);
}

describe(`Snapshot: ${MANY} of one volume`, () => {
  it(`D6 D14 Snapshot: ${MANY} applied at once all become Ready; space is back within 5 s of one deletion and 30 s of ${MANY}`, async () => {
    const many: Many = { lab, snapshots: snapshotKit(lab), volume: 'demo', count: MANY };
    await lab.createVolume('demo');
    const made = await createMany(many);
    console.log(`${MANY} Snapshots: Ready after ${made.readySeconds} s`);
    const one = await deleteOne(many);
    console.log(`one of them deleted: space back after ${one.spaceSeconds} s`);
    const deleted = await deleteMany(many);
    console.log(`all deleted: space back after ${deleted.spaceSeconds} s, objects gone after ${deleted.goneSeconds} s`);
    console.log(`most memory: agent ${peakMebibytes(agent)} MiB, controller ${peakMebibytes(lab.controller)} MiB`);
    // NOTE: of an otherwise quiet machine: on a busy one most of the time goes into the API server.
    expect(one.spaceSeconds).toBeLessThan(5);
    expect(deleted.spaceSeconds).toBeLessThan(30);
    expect(agent.running && lab.controller.running).toBe(true);
  });
});
