import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BuildCache, buildCacheType } from '../../../src/api/build-cache.ts';
import { type BuildCacheClaim, buildCacheClaimType } from '../../../src/api/build-cache-claim.ts';
import { type Condition, findCondition, formatTime } from '../../../src/api/conditions.ts';
import {
  agentManager,
  BUILD_CACHE_CLAIM_FINALIZER,
  BUILD_CACHE_FINALIZER,
  VOLUME_FINALIZER,
} from '../../../src/api/group.ts';
import type { PlacedStatus } from '../../../src/api/ownership.ts';
import { isNotFound } from '../../../src/kube/errors.ts';
import { type KubeObject, keyOf } from '../../../src/kube/object.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { condition, type RunningController, startController, startFakeAgent, startTestCluster } from './cluster.ts';

type Placed = KubeObject & { readonly status: PlacedStatus };

let cluster: Awaited<ReturnType<typeof startTestCluster>>;
let controller: RunningController;
let caches: ResourceClient<BuildCache>;
let claims: ResourceClient<BuildCacheClaim>;

beforeAll(async () => {
  cluster = await startTestCluster();
  caches = createResourceClient<BuildCache>(cluster.transport, buildCacheType);
  claims = createResourceClient<BuildCacheClaim>(cluster.transport, buildCacheClaimType);
  controller = startController(cluster);
});

afterAll(async () => {
  expect(await controller.stop()).toBe(0);
  await cluster[Symbol.asyncDispose]();
});

afterEach(async () => {
  await removeAll(claims);
  await removeAll(caches);
  await cluster.empty();
});

async function removeAll(client: ResourceClient<Placed>): Promise<void> {
  for (const object of await client.list()) {
    await client.delete(keyOf(object));
    const finalizers = { metadata: { finalizers: null } };
    await client.patch(keyOf(object), finalizers, { type: 'merge' }).catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

const createCache = (name: string, volume = 'vol') =>
  caches.create({ metadata: { namespace: 'default', name }, spec: { volumeRef: { name: volume } } });
const createClaim = (name: string, spec: Record<string, unknown> = {}) =>
  claims.create({ metadata: { namespace: 'default', name }, spec: { cacheRef: { name: 'cache' }, ...spec } });

/** The object as soon as it is as `is` says; fails with what it was last. */
async function that<T extends Placed>(client: ResourceClient<T>, name: string, is: (object: T) => boolean) {
  let last: T | undefined;
  const check = async () => {
    last = await client.get(`default/${name}`);
    return last !== undefined && is(last) ? last : undefined;
  };
  return await waitFor(check, { what: `${name} as expected`, timeoutMs: 15_000 }).catch((error) => {
    throw new Error(`last seen: ${JSON.stringify(last)}`, { cause: error });
  });
}

const gone = (client: ResourceClient<Placed>, name: string) =>
  waitFor(async () => (await client.get(`default/${name}`)) === undefined, { what: `end of ${name}` });
const isPlaced = ({ status }: Placed) => status.nodeName !== undefined;
const scheduledOf = ({ status }: Placed): Condition | undefined => findCondition(status.conditions, 'Scheduled');
const refusedWith = (reason: string) => (object: Placed) => scheduledOf(object)?.reason === reason;
const isLost = ({ status }: Placed) => findCondition(status.conditions, 'Ready')?.reason === 'NodeLost';

/** Writes into the status what the object's agent would write. */
function agentWrites<T extends Placed>(client: ResourceClient<T>, object: T, status: object): Promise<T> {
  const { namespace, name } = object.metadata;
  return client.applyStatus(
    { metadata: { namespace, name }, status },
    { fieldManager: agentManager(object.status.nodeName ?? '') },
  );
}

/** The agent has judged the release, so many seconds ago. */
function agentReleases(claim: BuildCacheClaim, secondsAgo = 0): Promise<BuildCacheClaim> {
  const lastTransitionTime = formatTime(new Date(Date.now() - secondsAgo * 1000));
  const released = condition('Released', 'True', { reason: 'Published', lastTransitionTime });
  return agentWrites(claims, claim, { outcome: 'Published', generation: 2, conditions: [ready, released] });
}

const ready = condition('Ready', 'True', { reason: 'Ready' });

/** A volume, a cache in it and a claim of that, each on node-a. */
async function placedClaim(name = 'claim', spec: Record<string, unknown> = {}): Promise<BuildCacheClaim> {
  await cluster.createVolume('vol');
  await createCache('cache');
  await createClaim(name, spec);
  return await that(claims, name, isPlaced);
}

/** A pass of the controller that began after now has ended: what was written before, it has seen. */
async function passesHaveEnded(): Promise<void> {
  await createClaim('witness', { cacheRef: { name: 'none' } });
  await that(claims, 'witness', refusedWith('CacheNotFound'));
}

describe('BuildCache and BuildCacheClaim: placement', () => {
  it('follow each other to the node of the volume, whatever is made last, held by a finalizer each', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    await createClaim('claim');
    const noCache = await that(claims, 'claim', refusedWith('CacheNotFound'));
    expect(scheduledOf(noCache)).toMatchObject({
      status: 'False',
      message: expect.stringContaining('there is no BuildCache "cache" in namespace default; make it'),
    });
    await createCache('cache');
    expect(scheduledOf(await that(caches, 'cache', refusedWith('VolumeNotFound')))?.message).toContain(
      'there is no LoopbackVolume "vol" in namespace default; make it',
    );
    await that(claims, 'claim', refusedWith('CacheNotPlaced'));
    await cluster.createVolume('vol');
    const cache = await that(caches, 'cache', isPlaced);
    const claim = await that(claims, 'claim', isPlaced);
    expect([cache.status.nodeName, claim.status.nodeName]).toEqual(['node-a', 'node-a']);
    expect([cache.metadata.finalizers, claim.metadata.finalizers]).toEqual([
      [BUILD_CACHE_FINALIZER],
      [BUILD_CACHE_CLAIM_FINALIZER],
    ]);
    for (const object of [cache, claim])
      expect(scheduledOf(object)).toMatchObject({ status: 'True', reason: 'Placed', message: 'placed on node node-a' });
  });

  it('wait with VolumeNotPlaced and CacheNotPlaced until the volume has a node', async () => {
    await cluster.createVolume('vol');
    await createCache('cache');
    await createClaim('claim');
    await that(caches, 'cache', refusedWith('VolumeNotPlaced'));
    await that(claims, 'claim', refusedWith('CacheNotPlaced'));
    await using _a = await startFakeAgent(cluster, 'node-a');
    await that(claims, 'claim', isPlaced);
  });

  it('a claim is not placed by a cache that is being deleted, but by the next one of its name', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    const first = await placedClaim('first');
    await caches.delete('default/cache');
    await createClaim('late');
    const late = await that(claims, 'late', refusedWith('CacheNotFound'));
    expect(scheduledOf(late)?.message).toBe('BuildCache "cache" is being deleted; no clone is made of it any more');
    const cache = await that(caches, 'cache', ({ metadata }) => metadata.deletionTimestamp !== undefined);
    const removed = condition('Removed', 'True', { observedGeneration: cache.metadata.generation ?? 0 });
    await agentWrites(caches, cache, { conditions: [removed] });
    await gone(caches, 'cache');
    await that(claims, 'late', (claim) => /there is no BuildCache/.test(scheduledOf(claim)?.message ?? ''));
    await createCache('cache');
    await that(claims, 'late', isPlaced);
    expect((await claims.get('default/first'))?.status).toEqual(first.status);
  });

  it('a claim that waits hears of the deletion of its cache', async () => {
    await createCache('cache');
    await caches.patch('default/cache', { metadata: { finalizers: ['example.com/test'] } }, { type: 'merge' });
    await createClaim('claim');
    await that(claims, 'claim', refusedWith('CacheNotPlaced'));
    await caches.delete('default/cache');
    await that(claims, 'claim', refusedWith('CacheNotFound'));
  });
});

describe('BuildCache and BuildCacheClaim: deletion', () => {
  it('never placed: they go at once', async () => {
    await createCache('cache');
    await createClaim('claim');
    await that(caches, 'cache', refusedWith('VolumeNotFound'));
    await that(claims, 'claim', refusedWith('CacheNotPlaced'));
    await caches.delete('default/cache');
    await claims.delete('default/claim');
    await gone(caches, 'cache');
    await gone(claims, 'claim');
  });

  it('placed: they are held until the agent says Removed', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    const claim = await placedClaim();
    expect(claim.metadata.finalizers).toEqual([BUILD_CACHE_CLAIM_FINALIZER]);
    await claims.delete('default/claim');
    const deleting = await that(claims, 'claim', ({ metadata }) => metadata.deletionTimestamp !== undefined);
    await passesHaveEnded();
    expect((await claims.get('default/claim'))?.metadata.finalizers).toEqual([BUILD_CACHE_CLAIM_FINALIZER]);
    const removed = condition('Removed', 'True', { observedGeneration: deleting.metadata.generation ?? 0 });
    await agentWrites(claims, deleting, { conditions: [removed] });
    await gone(claims, 'claim');
  });
});

describe('BuildCache and BuildCacheClaim: a lost node', () => {
  it('is said of both with all that their agent had written, and not again', async () => {
    await using agent = await startFakeAgent(cluster, 'node-a');
    const claim = await placedClaim();
    await agentWrites(claims, claim, { baseGeneration: 3, conditions: [ready] });
    const cache = await that(caches, 'cache', isPlaced);
    await agentWrites(caches, cache, { currentGeneration: 3, activeClaims: 1, conditions: [ready] });
    await agent.stop();
    const lost = [await that(caches, 'cache', isLost), await that(claims, 'claim', isLost)];
    expect(lost.map(({ status }) => status)).toEqual([
      expect.objectContaining({ nodeName: 'node-a', currentGeneration: 3, activeClaims: 1 }),
      expect.objectContaining({ nodeName: 'node-a', baseGeneration: 3 }),
    ]);
    await passesHaveEnded();
    expect((await claims.get('default/claim'))?.metadata.resourceVersion).toBe(lost[1]?.metadata.resourceVersion);
    expect((await caches.get('default/cache'))?.metadata.resourceVersion).toBe(lost[0]?.metadata.resourceVersion);
  });

  it('holds a deletion while its Node is there, and lets all go when the Node is gone', async () => {
    const { metadata } = await cluster.createNode('node-a');
    const owner = { apiVersion: 'v1', kind: 'Node', name: 'node-a', uid: metadata.uid };
    await using agent = await startFakeAgent(cluster, 'node-a', {}, owner);
    const claim = await placedClaim();
    await agent.stop();
    await claims.delete('default/claim');
    await caches.delete('default/cache');
    await that(caches, 'cache', isLost);
    expect((await that(claims, 'claim', isLost)).metadata.finalizers).toEqual([BUILD_CACHE_CLAIM_FINALIZER]);
    expect((await cluster.volumes.get('default/vol'))?.metadata.finalizers).toEqual([VOLUME_FINALIZER]);
    await cluster.nodes.delete('node-a');
    await gone(claims, 'claim');
    await gone(caches, 'cache');
    const told = async () => (await cluster.eventsOf(claim)).find(({ note }) => note?.includes('the data stays'));
    expect(await waitFor(told, { what: 'event about the data' })).toMatchObject({ reason: 'NodeLost' });
  });
});

describe('BuildCacheClaim: ttlSecondsAfterReleased', () => {
  it('a released claim is deleted when its time is over, not before, and held until its node is done', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    const claim = await placedClaim('claim', { release: 'Publish', ttlSecondsAfterReleased: 4 });
    const released = await agentReleases(claim);
    const endsMs = Date.parse(findCondition(released.status.conditions, 'Released')?.lastTransitionTime ?? '') + 4000;
    await passesHaveEnded();
    expect((await claims.get('default/claim'))?.metadata.deletionTimestamp).toBeUndefined();
    const deleting = await that(claims, 'claim', ({ metadata }) => metadata.deletionTimestamp !== undefined);
    expect(Date.now()).toBeGreaterThanOrEqual(endsMs);
    expect(deleting.status).toMatchObject({ outcome: 'Published', generation: 2 });
    const removed = condition('Removed', 'True', { observedGeneration: deleting.metadata.generation ?? 0 });
    await agentWrites(claims, deleting, { conditions: [removed] });
    await gone(claims, 'claim');
  });

  it('one that is given more time stays, and goes when that is taken back', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    const claim = await placedClaim('claim', { release: 'Publish', ttlSecondsAfterReleased: 3600 });
    await agentReleases(claim, 1800);
    await passesHaveEnded();
    expect((await claims.get('default/claim'))?.metadata.deletionTimestamp).toBeUndefined();
    await claims.patch('default/claim', { spec: { ttlSecondsAfterReleased: 1799 } }, { type: 'merge' });
    await that(claims, 'claim', ({ metadata }) => metadata.deletionTimestamp !== undefined);
  });

  it('one that ran out while no controller ran goes at the next start; one that was not judged stays', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    const asked = await placedClaim('asked', { release: 'Publish', ttlSecondsAfterReleased: 0 });
    await createClaim('over', { release: 'Publish', ttlSecondsAfterReleased: 60 });
    const over = await that(claims, 'over', isPlaced);
    expect(await controller.stop()).toBe(0);
    await agentReleases(over, 61);
    controller = startController(cluster);
    await that(claims, 'over', ({ metadata }) => metadata.deletionTimestamp !== undefined);
    await passesHaveEnded();
    expect((await claims.get('default/asked'))?.metadata).toEqual(asked.metadata);
  });
});
