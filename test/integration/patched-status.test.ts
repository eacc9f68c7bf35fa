import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Condition, findCondition } from '../../src/api/conditions.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import type { ResourceClient } from '../../src/kube/resource-client.ts';
import { condition } from '../builders/objects.ts';
import type { AuditedRequest } from '../cluster/audit.ts';
import type { OperatorProcess } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { cacheKit } from './caches/kit.ts';
import { conditionOf, type Lab, startLab } from './lab.ts';
import { snapshotKit } from './snapshots/kit.ts';

let lab: Lab;
let agent: OperatorProcess;
const startAgent = () => lab.startAgent('node-a', { flags: ['--lease-seconds=2', '--renew-seconds=0.5'] });

beforeAll(async () => {
  lab = await startLab();
  agent = await startAgent();
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

test('F42 all kinds: what somebody writes into a status is taken out', async () => {
  const snapshots = snapshotKit(lab);
  const caches = cacheKit(lab);
  await lab.createVolume('vol', { size: '512Mi' });
  await lab.ready('vol');
  await snapshots.create('snap', 'vol', { access: 'ReadOnly' });
  await snapshots.ready('snap');
  await caches.createCache('cache', 'vol');
  await caches.startJob('job', 'cache');
  await caches.cacheThat('cache', ({ status }) => status.activeClaims === 1);
  const objects = [
    {
      client: lab.volumes,
      key: 'default/vol',
      forged: { sizeBytes: 1, minimized: { observedGeneration: 1, sizeBytes: 7 } },
    },
    { client: snapshots.client, key: 'default/snap', forged: { uuid: 'forged', childCount: 9 } },
    { client: caches.caches, key: 'default/cache', forged: { currentGeneration: 7 } },
    { client: caches.claims, key: 'default/job', forged: { outcome: 'Discarded', reason: 'DiscardAsked' } },
    { client: lab.btrfsNodes, key: 'node-a', forged: { allocatableBytes: 1, orphanCount: 3 } },
  ] as const;
  await Promise.all(
    objects.map(async ({ client, key, forged }) => {
      const before = await client.get(key);
      await forge(client, key, forged);
      await mended(client, key, before);
    }),
  );
}, 120_000);

test('F42 LoopbackVolume, BtrfsNode: what was patched while the node was lost is right when the agent is back, without a war', async () => {
  await lab.createVolume('lost', { size: '256Mi' });
  const before = await lab.ready('lost');
  const committedBytes = (512 + 256) * 1024 ** 2;
  const nodeBefore = await waitFor(
    async () => {
      const node = await lab.btrfsNodes.get('node-a');
      return node?.status.committedBytes === committedBytes ? node : undefined;
    },
    { what: 'both volumes in the sum' },
  );
  agent.kill('SIGKILL');
  await lab.withReason('lost', 'Ready', 'NodeLost');
  const writes = writesOf('lost');
  await forge(lab.volumes, 'default/lost', { sizeBytes: 1, loopDevice: '/dev/sda' });
  await forge(lab.btrfsNodes, 'node-a', { allocatableBytes: 1 });
  // The controller says it again where the word of it was changed: nothing is known of the node still.
  await waitFor(
    async () => conditionOf((await lab.volumes.get('default/lost')) ?? before, 'Scheduled')?.message !== 'forged',
    {
      what: 'Scheduled as the controller says it',
    },
  );
  agent = await startAgent();
  await mended(lab.volumes, 'default/lost', before);
  await mended(lab.btrfsNodes, 'node-a', nodeBefore);
  const { metadata } = await lab.ready('lost');
  const settled = writesOf('lost') - writes;
  // Scheduled, what the agent applies, and what it takes out; usage may have moved.
  expect(settled).toBeLessThanOrEqual(5);
  await forge(lab.volumes, 'default/lost', { sizeBytes: 2 });
  await mended(lab.volumes, 'default/lost', before);
  expect(writesOf('lost') - writes - settled).toBeLessThanOrEqual(4);
  expect(metadata.uid).toBe(before.metadata.uid);
}, 120_000);

test('F36 LoopbackVolume: what waits for room is not written while the room moves', async () => {
  for (const name of ['waits', 'moves']) await lab.createVolume(name, { size: '256Mi' });
  for (const name of ['waits', 'moves']) await lab.ready(name);
  await lab.change('waits', { size: '15Ti' });
  const { status } = await lab.withReason('waits', 'Resized', 'NodeFull');
  const writes = writesOf('waits');
  const passes = () => readFileSync(agent.logPath, 'utf8').split('\n').filter(isPassOf('waits')).length;
  for (const size of ['300Mi', '400Mi']) {
    await lab.change('moves', { size });
    await lab.withReason('moves', 'Resized', 'SizeReached');
    const before = passes();
    const mark = { metadata: { annotations: { size } } };
    await lab.volumes.patch('default/waits', mark, { type: 'merge' });
    await waitFor(() => passes() > before, { what: 'look at what waits' });
  }
  expect((await lab.volumes.get('default/waits'))?.status.conditions).toEqual(status.conditions);
  expect(writesOf('waits') - writes).toBe(0);
}, 60_000);

const isPassOf = (name: string) => (line: string) =>
  line.includes(`"name":"${name}"`) && line.includes('"msg":"pass ended"');

type Status = { readonly conditions?: Condition[] | undefined };
type Client = Pick<ResourceClient<KubeObject & { readonly status: Status }>, 'get' | 'patch'>;

/** What `kubectl patch --subresource=status` does: other words in all conditions, a condition that nobody has, and these fields. */
async function forge(client: Client, key: string, forged: object): Promise<void> {
  const found = await client.get(key);
  const conditions = [
    ...(found?.status.conditions ?? []).map((each) => ({ ...each, message: 'forged' })),
    ...FORGED_TYPES.filter((type) => findCondition(found?.status.conditions, type) === undefined).map((type) =>
      condition(type, 'True', { lastTransitionTime: '2026-01-01T00:00:00Z', message: 'forged' }),
    ),
  ];
  await client.patch(key, { status: { ...forged, conditions } }, { type: 'merge', subresource: 'status' });
}

/** Scheduled is nobody's on a BtrfsNode. */
const FORGED_TYPES = ['Forged', 'Scheduled'];

/** The object has the status that it had before. */
async function mended(client: Client, key: string, before: { readonly status: Status } | undefined): Promise<void> {
  const read = async () => shapeOf((await client.get(key))?.status);
  const isMended = async () => JSON.stringify(await read()) === JSON.stringify(shapeOf(before?.status));
  await waitFor(isMended, { what: `${key} mended`, timeoutMs: 20_000 }).catch(async () =>
    expect(await read()).toEqual(shapeOf(before?.status)),
  );
}

/** How often the operator has written this status. */
function writesOf(volume: string): number {
  const isWrite = ({ resource, name, verb }: AuditedRequest) =>
    resource === 'loopbackvolumes.btrfs-operator.io/status' && name === volume && verb === 'patch';
  return lab.audit.requests().filter(isWrite).length;
}

/** What does not move by itself, nor by a restart of the agent. */
function shapeOf(status: object | undefined): unknown {
  const figures = ['usedBytes', 'freeBytes', 'hostBytes', 'hostFreeBytes', 'hostTotalBytes'];
  const moving = [...figures, 'lastTransitionTime', 'transferEndpoint'];
  const entries = Object.entries(status ?? {}).filter(([key]) => !moving.includes(key));
  const shaped = entries.map(([key, value]): [string, unknown] =>
    key === 'conditions' ? [key, (value as object[]).map((each) => shapeOf(each)).toSorted(byText)] : [key, value],
  );
  return Object.fromEntries(shaped.toSorted(byText));
}

function byText(left: unknown, right: unknown): number {
  return JSON.stringify(left) < JSON.stringify(right) ? -1 : 1;
}
