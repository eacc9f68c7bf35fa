import { afterAll, beforeAll, beforeEach, describe, it } from 'vitest';
import type { Lab } from '../../integration/lab.ts';
import type { SnapshotKit } from '../../integration/snapshots/kit.ts';
import { createMany, deleteMany } from '../../integration/snapshots/many.ts';
import { startSnapshotLab } from '../../integration/snapshots/snapshot-lab.ts';

/** `make chaos` has 1,000. */
const MANY = 200;

let lab: Lab;
let snapshots: SnapshotKit;

beforeAll(async () => {
  ({ lab, snapshots } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe(`Snapshot: ${MANY} at once`, () => {
  it(`D6 D14 Snapshot: ${MANY} applied at once all become Ready; deleted at once, their space is back within 30 s`, async () => {
    const many = { lab, snapshots, volume: 'demo', count: MANY };
    const { readySeconds } = await createMany(many);
    const { spaceSeconds, goneSeconds } = await deleteMany(many);
    console.log(
      `${MANY}: Ready after ${readySeconds} s, space back after ${spaceSeconds} s, gone after ${goneSeconds} s`,
    );
  });
});
