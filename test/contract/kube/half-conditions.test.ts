import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSaid } from '../../../src/agent/said.ts';
import { createStatusWriter } from '../../../src/agent/status-writer.ts';
import type { Condition } from '../../../src/api/conditions.ts';
import { type Snapshot, type SnapshotStatus, snapshotType } from '../../../src/api/snapshot.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import type { Transport } from '../../../src/kube/transport.ts';
import { condition } from '../../builders/objects.ts';
import { connect, createNamespace } from './real-server.ts';

let transport: Transport;
beforeAll(() => {
  transport = connect();
});
afterAll(() => transport.close());

const scheduled: Condition = condition('Scheduled', 'True');
const forged = { path: '/forged', conditions: [scheduled, condition('Removed', 'True', { message: 'forged' })] };
/** What the agent says: first that it is not so, and then nothing of it any more. */
const first: SnapshotStatus = {
  path: '/right',
  conditions: [condition('Ready', 'False'), condition('Removed', 'False')],
};
const then: SnapshotStatus = { childCount: 2, conditions: [condition('Ready', 'True')] };

test('F42 F44 StatusWriter: takes back a condition that somebody else has written', async () => {
  const namespace = await createNamespace();
  const client = createResourceClient<Snapshot>(transport, snapshotType);
  const metadata = { namespace, name: 'x' };
  const made = await client.create({ metadata, spec: { volumeRef: { name: 'demo' } } });
  const placed = { nodeName: 'node-a', conditions: [scheduled] };
  await client.applyStatus({ metadata, status: placed }, { fieldManager: 'controller' });
  const renewal = { isRenewed: true };
  const writer = createStatusWriter({ client, fieldManager: 'agent', said: createSaid<Snapshot>(), renewal });
  await client.patch(`${namespace}/x`, { status: forged }, { type: 'merge', subresource: 'status' });
  await writer.write(made, first);
  await writer.write(made, then);
  const { status } = (await client.get(`${namespace}/x`)) ?? made;
  expect(status.conditions?.map(({ type }) => type).toSorted()).toEqual(['Ready', 'Scheduled']);
  expect(status).toMatchObject({ nodeName: 'node-a', childCount: 2 });
  expect(status.path).toBeUndefined();
});
