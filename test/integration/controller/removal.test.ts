import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildCacheType } from '../../../src/api/build-cache.ts';
import { buildCacheClaimType } from '../../../src/api/build-cache-claim.ts';
import { agentManager } from '../../../src/api/group.ts';
import { loopbackVolumeType } from '../../../src/api/loopback-volume.ts';
import type { PlacedStatus } from '../../../src/api/ownership.ts';
import { snapshotType } from '../../../src/api/snapshot.ts';
import { isNotFound } from '../../../src/kube/errors.ts';
import { type KubeObject, keyOf } from '../../../src/kube/object.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import {
  condition,
  type FakeAgent,
  type RunningController,
  startController,
  startFakeAgent,
  startTestCluster,
} from './cluster.ts';

type Placed = KubeObject & { readonly status: PlacedStatus };

let cluster: Awaited<ReturnType<typeof startTestCluster>>;
let controller: RunningController;
let agent: FakeAgent;
let clients: Readonly<Record<string, ResourceClient<Placed>>>;

/** One of each kind, and what of its spec can be changed. */
const kinds = {
  LoopbackVolume: { spec: { size: '1Gi', nodeName: 'node-a' }, change: { label: 'again' } },
  Snapshot: { spec: { volumeRef: { name: 'loopbackvolume' } }, change: { deletionPolicy: 'Retain' } },
  BuildCache: { spec: { volumeRef: { name: 'loopbackvolume' } }, change: { keepGenerations: 7 } },
  BuildCacheClaim: { spec: { cacheRef: { name: 'buildcache' } }, change: { ttlSecondsAfterReleased: 7 } },
} as const;
const names = Object.keys(kinds) as (keyof typeof kinds)[];
const nameOf = (kind: string) => kind.toLowerCase();

beforeAll(async () => {
  cluster = await startTestCluster();
  const types = {
    LoopbackVolume: loopbackVolumeType,
    Snapshot: snapshotType,
    BuildCache: buildCacheType,
    BuildCacheClaim: buildCacheClaimType,
  };
  clients = Object.fromEntries(
    Object.entries(types).map(([kind, type]) => [kind, createResourceClient(cluster.transport, type as never)]),
  );
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

beforeEach(async () => {
  controller = startController(cluster);
  agent = await startFakeAgent(cluster, 'node-a');
  for (const kind of names) {
    await clientOf(kind).create({ metadata: { namespace: 'default', name: nameOf(kind) }, spec: kinds[kind].spec });
    await that(kind, ({ status }) => status.nodeName === 'node-a');
  }
});
afterEach(async () => {
  await controller.stop();
  await agent[Symbol.asyncDispose]();
  for (const client of Object.values(clients).toReversed()) {
    for (const object of await client.list()) {
      await client.delete(keyOf(object));
      await client.patch(keyOf(object), { metadata: { finalizers: null } }, { type: 'merge' }).catch((error) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
  await cluster.empty();
});

function clientOf(kind: string): ResourceClient<Placed> {
  const client = clients[kind];
  if (client === undefined) throw new Error(kind);
  return client;
}

const get = (kind: string) => clientOf(kind).get(`default/${nameOf(kind)}`);
const that = (kind: string, is: (object: Placed) => boolean) =>
  waitFor(
    async () => {
      const object = await get(kind);
      return object !== undefined && is(object) ? object : undefined;
    },
    { what: `${kind} as expected`, timeoutMs: 15_000 },
  );
const isGone = (kind: string) =>
  waitFor(async () => (await get(kind)) === undefined, { what: `end of ${kind}`, timeoutMs: 15_000 });

const word = (status: 'True' | 'False') =>
  condition('Removed', status, {
    reason: 'Removed',
    message: 'gone',
    observedGeneration: 2,
    lastTransitionTime: '2026-01-01T00:00:00Z',
  });
const agentSays = (kind: string, status: 'True' | 'False') =>
  clientOf(kind).applyStatus(
    { metadata: { namespace: 'default', name: nameOf(kind) }, status: { conditions: [word(status)] } } as never,
    { fieldManager: agentManager('node-a') },
  );
/** What `kubectl patch --subresource=status` does. */
async function somebodySays(kind: string, status: 'True' | 'False'): Promise<void> {
  const others = ((await get(kind))?.status.conditions ?? []).filter(({ type }) => type !== 'Removed');
  const conditions = [...others, { ...word(status), observedGeneration: 99 }];
  await clientOf(kind).patch(
    `default/${nameOf(kind)}`,
    { status: { conditions } },
    { type: 'merge', subresource: 'status' },
  );
}
const startDeletion = (kind: string) => clientOf(kind).delete(`default/${nameOf(kind)}`);

/** The controller has looked at what was there before: it places what comes after that. */
async function controllerHasLooked(): Promise<void> {
  const name = `witness-${Math.random().toString(36).slice(2)}`;
  await cluster.createVolume(name);
  await cluster.volumeThat(name, ({ status }) => status.nodeName !== undefined);
}

describe.each(names)('%s: who says that it is removed', (kind) => {
  test('F44 the word of somebody else lets it go neither before its deletion nor after', async () => {
    await somebodySays(kind, 'True');
    await startDeletion(kind);
    await controllerHasLooked();
    expect((await get(kind))?.metadata.deletionTimestamp).toBeDefined();
    await agentSays(kind, 'False');
    await somebodySays(kind, 'True');
    await controllerHasLooked();
    expect((await get(kind))?.metadata.finalizers).toHaveLength(1);
    await agentSays(kind, 'True');
    await isGone(kind);
  });

  test('F44 a word that reads as that of the agent is not, until the agent says the same', async () => {
    await startDeletion(kind);
    const others = ((await get(kind))?.status.conditions ?? []).filter(({ type }) => type !== 'Removed');
    const conditions = [...others, word('True')];
    await clientOf(kind).patch(
      `default/${nameOf(kind)}`,
      { status: { conditions } },
      { type: 'merge', subresource: 'status' },
    );
    await controllerHasLooked();
    expect((await get(kind))?.metadata.finalizers).toHaveLength(1);
    await agentSays(kind, 'True');
    await isGone(kind);
  });

  test('F37 a change of spec after the word of the agent holds nothing up', async () => {
    await startDeletion(kind);
    await controller.stop();
    await agentSays(kind, 'True');
    await clientOf(kind).patch(`default/${nameOf(kind)}`, { spec: kinds[kind].change }, { type: 'merge' });
    expect((await get(kind))?.metadata.generation).toBe(3);
    controller = startController(cluster);
    await isGone(kind);
  });
});

test('F44 LoopbackVolume: the controller, which says NodeLost in the name of the agent, does not take over such a word', async () => {
  await cluster.createNode('node-a');
  await somebodySays('LoopbackVolume', 'True');
  await agent.stop();
  await that('LoopbackVolume', ({ status }) => status.conditions?.some(({ reason }) => reason === 'NodeLost') === true);
  await startDeletion('LoopbackVolume');
  await that('LoopbackVolume', ({ metadata }) => metadata.deletionTimestamp !== undefined);
  await agent.start();
  await agent.report();
  await controllerHasLooked();
  expect((await get('LoopbackVolume'))?.metadata.finalizers).toHaveLength(1);
});
