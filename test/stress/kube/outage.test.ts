import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { EquippedControlPlane } from '../../cluster/equipped-control-plane.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { startOwnControlPlane } from '../../integration/controller/cluster.ts';
import { type Lab, startLab } from '../../integration/lab.ts';

/** Long enough that pauses between tries have grown to their end. */
const OUTAGE_MS = 60_000;
const BACK_WITHIN_MS = 20_000;

let controlPlane: EquippedControlPlane;
let lab: Lab;

beforeAll(async () => {
  controlPlane = await startOwnControlPlane();
  lab = await startLab(controlPlane);
  await lab.startAgent('node-a');
  await lab.createVolume('old', { size: '256Mi' });
  await lab.ready('old');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

// The controller ends when it can't renew its Lease, as it should, and nobody starts it again here: the agent has to do without.
test.each([
  {
    how: 'hangs',
    size: '320Mi',
    async outage() {
      controlPlane.pauseApiServer();
      await sleep(OUTAGE_MS);
      controlPlane.resumeApiServer();
    },
  },
  { how: 'has lost its etcd', size: '384Mi', outage: () => controlPlane.withoutEtcd(() => sleep(OUTAGE_MS)) },
])('F51 agent: is back within 20 s of an API server that $how for a minute', async ({ size, outage }) => {
  await outage();
  const backAtMs = performance.now();
  // The connections of this test have been through the same.
  await waitFor(() => lab.change('old', { size }).catch(() => undefined), { what: 'API server', timeoutMs: 10_000 });
  await lab.ready('old', BACK_WITHIN_MS);
  const takenMs = performance.now() - backAtMs;
  console.log(`a volume was grown ${Math.round(takenMs)} ms after the return`);
  expect(takenMs).toBeLessThan(BACK_WITHIN_MS);
});
