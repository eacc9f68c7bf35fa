import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { VOLUME_FINALIZER } from '../../../src/api/group.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import {
  condition,
  type RunningController,
  readyOf,
  scheduledOf,
  startController,
  startFakeAgent,
  startTestCluster,
  type TestCluster,
} from './cluster.ts';

const GiB = 2 ** 30;
let cluster: TestCluster;
let controller: RunningController;

beforeAll(async () => {
  cluster = await startTestCluster();
  controller = startController(cluster);
});

afterAll(async () => {
  expect(await controller.stop()).toBe(0);
  await cluster[Symbol.asyncDispose]();
});

afterEach(() => cluster.empty());

describe('LoopbackVolume: placement', () => {
  it('goes to the node with the most free capacity, held by the finalizer, under the controller’s own field manager', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a', { allocatableBytes: 5 * GiB });
    await using _b = await startFakeAgent(cluster, 'node-b', { allocatableBytes: 8 * GiB });
    await cluster.createVolume('vol', {}, ['example.com/foreign']);
    const volume = await cluster.volumeThat('vol', ({ status }) => status.nodeName !== undefined);
    expect(volume.status.nodeName).toBe('node-b');
    expect(volume.metadata.finalizers).toEqual(['example.com/foreign', VOLUME_FINALIZER]);
    expect(scheduledOf(volume)).toMatchObject({
      status: 'True',
      reason: 'Placed',
      message: 'placed on node node-b',
      observedGeneration: 1,
    });
    expect(readyOf(volume)).toMatchObject({ status: 'Unknown', reason: 'Pending' });
    expect(volume.status.observedGeneration).toBe(-1);
    expect(await cluster.event(volume, 'Scheduled')).toMatchObject({ type: 'Normal', note: 'placed on node node-b' });
    const managers = await managersOf('vol');
    expect(managers['btrfs-operator-controller/status']).toMatch(/f:nodeName/);
  });

  it('twenty volumes at once fill the nodes to the last byte and not beyond; room that gets free is used at once', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a', { allocatableBytes: 5 * GiB });
    await using _b = await startFakeAgent(cluster, 'node-b', { allocatableBytes: 5 * GiB });
    const names = Array.from({ length: 20 }, (_, index) => `vol-${index}`);
    await Promise.all(names.map((name) => cluster.createVolume(name)));
    const volumes = await Promise.all(
      names.map((name) => cluster.volumeThat(name, (volume) => scheduledOf(volume) !== undefined)),
    );
    const on = (node: string) => volumes.filter(({ status }) => status.nodeName === node);
    expect([on('node-a').length, on('node-b').length]).toEqual([5, 5]);
    const refused = volumes.filter(({ status }) => status.nodeName === undefined);
    expect(refused.map((volume) => scheduledOf(volume)?.message)).toContain(
      '0 of 2 nodes fit 1Gi: node-a has less than that left; node-b has less than that left',
    );

    const [leaving] = on('node-a');
    if (leaving === undefined) throw new Error('none on node-a');
    await cluster.volumes.delete(`default/${leaving.metadata.name}`);
    const deleting = await cluster.volumeThat(
      leaving.metadata.name,
      ({ metadata }) => metadata.deletionTimestamp !== undefined,
    );
    const { generation } = deleting.metadata;
    await cluster.agentWrites(deleting, {
      conditions: [
        condition('Removed', 'True', ...(generation === undefined ? [] : [{ observedGeneration: generation }])),
      ],
    });
    await cluster.volumeGone(leaving.metadata.name);
    await expect
      .poll(async () => (await cluster.volumes.list()).filter(({ status }) => status.nodeName === 'node-a').length, {
        timeout: 5_000,
      })
      .toBe(5);
  });

  it('a nodeName without a BtrfsNode is refused with UnknownNode, and placed when the node comes', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    await cluster.createVolume('vol', { nodeName: 'node-x' });
    const refused = await cluster.volumeThat('vol', (volume) => scheduledOf(volume)?.status === 'False');
    const message =
      'there is no BtrfsNode "node-x": check spec.nodeName and that an agent runs on that node; known are: node-a';
    expect(scheduledOf(refused)).toMatchObject({ reason: 'UnknownNode', message });
    expect(await cluster.event(refused, 'FailedScheduling')).toMatchObject({ type: 'Warning', note: message });
    await using _x = await startFakeAgent(cluster, 'node-x');
    const placed = await cluster.volumeThat('vol', ({ status }) => status.nodeName === 'node-x');
    expect(scheduledOf(placed)).toMatchObject({ status: 'True', reason: 'Placed' });
  });

  it('follows nodeSelector by the labels of Nodes, also when they change', async () => {
    await cluster.createNode('node-a', { disk: 'hdd' });
    await using _a = await startFakeAgent(cluster, 'node-a');
    await using _b = await startFakeAgent(cluster, 'node-b');
    await cluster.createVolume('vol', { nodeSelector: { disk: 'ssd' } });
    const refused = await cluster.volumeThat('vol', (volume) => /node-b/.test(scheduledOf(volume)?.message ?? ''));
    expect(scheduledOf(refused)).toMatchObject({
      reason: 'NoNodeFits',
      message: '0 of 2 nodes fit 1Gi: node-a does not match nodeSelector disk=ssd; node-b has no Node any more',
    });
    await cluster.nodes.patch('node-a', { metadata: { labels: { disk: 'ssd' } } }, { type: 'merge' });
    await cluster.volumeThat('vol', ({ status }) => status.nodeName === 'node-a');
  });

  it('F35 goes to no node that is cordoned, tainted or has no Node, but where spec.nodeName says so, until that ends', async () => {
    const taints = [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }];
    await cluster.createNode('node-a');
    await cluster.nodes.patch('node-a', { spec: { unschedulable: true } }, { type: 'merge' });
    await cluster.createNode('node-b');
    await cluster.nodes.patch('node-b', { spec: { taints } }, { type: 'merge' });
    await using _a = await startFakeAgent(cluster, 'node-a');
    await using _b = await startFakeAgent(cluster, 'node-b');
    await using _c = await startFakeAgent(cluster, 'node-c');
    await cluster.createVolume('vol');
    const message =
      '0 of 3 nodes fit 1Gi: node-a is cordoned; node-b has the taint dedicated=db:NoSchedule; node-c has no Node any more';
    await cluster.volumeThat('vol', (volume) => scheduledOf(volume)?.message === message);
    await cluster.createVolume('named', { nodeName: 'node-b' });
    await cluster.volumeThat('named', ({ status }) => status.nodeName === 'node-b');
    await cluster.nodes.patch('node-a', { spec: { unschedulable: null } }, { type: 'merge' });
    await cluster.volumeThat('vol', ({ status }) => status.nodeName === 'node-a');
  });

  it('F36 those that wait for room are not written when room comes that is not enough', async () => {
    await using agent = await startFakeAgent(cluster, 'node-a', { allocatableBytes: 3 * GiB });
    await cluster.createVolume('small', { nodeName: 'node-a' });
    await cluster.volumeThat('small', ({ status }) => status.nodeName !== undefined);
    const names = Array.from({ length: 20 }, (_, index) => `waits-${index}`);
    await Promise.all(names.map((name) => cluster.createVolume(name, { size: '3Gi' })));
    const isRefused = (volume: LoopbackVolume) => scheduledOf(volume)?.status === 'False';
    const before = await Promise.all(names.map((name) => cluster.volumeThat(name, isRefused)));
    for (const allocatableGiB of [3.5, 3.2, 3.9]) {
      await agent.report({ allocatableBytes: Math.round(allocatableGiB * GiB) });
      const witness = `witness-${allocatableGiB * 10}`;
      await cluster.createVolume(witness, { nodeName: 'node-x' });
      await cluster.volumeThat(witness, (volume) => scheduledOf(volume) !== undefined);
    }
    await agent.report({ allocatableBytes: 4 * GiB });
    await expect.poll(() => placedOf(names)).toBe(1);
    const after = await Promise.all(names.map((name) => cluster.volumes.get(`default/${name}`)));
    const versionOf = (volume: LoopbackVolume | undefined) => volume?.metadata.resourceVersion;
    expect(after.filter((volume, index) => versionOf(volume) !== versionOf(before[index])).length).toBe(1);
  });

  it.each([
    [
      'places nothing on a node with HostPressure',
      [condition('Ready', 'True'), condition('HostPressure', 'True')],
      'is under host pressure',
    ],
    [
      'B3 places nothing on a node with an old kernel',
      [condition('Ready', 'True'), condition('KernelSupported', 'False')],
      'has an unsupported kernel',
    ],
    [
      'places nothing on a node with Ready=False',
      [condition('Ready', 'False', { reason: 'MissingFeature' })],
      'is not ready (MissingFeature)',
    ],
  ])('%s, until that ends', async (_, conditions, why) => {
    await using agent = await startFakeAgent(cluster, 'node-a', { conditions });
    await cluster.createVolume('vol');
    const refused = await cluster.volumeThat('vol', (volume) => scheduledOf(volume)?.status === 'False');
    expect(scheduledOf(refused)?.message).toBe(`0 of 1 nodes fit 1Gi: node-a ${why}`);
    await agent.report();
    await cluster.volumeThat('vol', ({ status }) => status.nodeName === 'node-a');
  });

  it('writes nothing when nothing changes', async () => {
    await using agent = await startFakeAgent(cluster, 'node-a', { allocatableBytes: GiB });
    await cluster.createVolume('placed');
    await cluster.createVolume('refused', { size: '2Gi' });
    const placed = await cluster.volumeThat('placed', ({ status }) => status.nodeName !== undefined);
    const message = '0 of 1 nodes fit 2Gi: node-a is smaller than that';
    await cluster.createVolume('late', { size: '2Gi' });
    const late = await cluster.volumeThat('late', (volume) => scheduledOf(volume)?.message === message);
    // Usage figures, a pressure that comes and goes: passes run, and find all as it should be.
    await agent.report({ allocatableBytes: GiB, hostFreeBytes: 5 });
    await agent.report({ allocatableBytes: GiB, conditions: [condition('Ready', 'True', { reason: 'Other' })] });
    await cluster.createVolume('witness', { nodeName: 'node-x' });
    await cluster.volumeThat('witness', (volume) => scheduledOf(volume) !== undefined);
    expect((await cluster.volumes.get('default/placed'))?.metadata.resourceVersion).toBe(
      placed.metadata.resourceVersion,
    );
    expect((await cluster.volumes.get('default/late'))?.metadata.resourceVersion).toBe(late.metadata.resourceVersion);
  });

  it('condition Scheduled follows the generation of a placed volume', async () => {
    await using _a = await startFakeAgent(cluster, 'node-a');
    await cluster.createVolume('vol');
    await cluster.volumeThat('vol', ({ status }) => status.nodeName !== undefined);
    await cluster.volumes.patch('default/vol', { spec: { size: '2Gi' } }, { type: 'merge' });
    const volume = await cluster.volumeThat('vol', (seen) => scheduledOf(seen)?.observedGeneration === 2);
    expect(volume.metadata.generation).toBe(2);
  });
});

/** What each manager owns, as text, by `manager/subresource`. */
async function placedOf(names: readonly string[]): Promise<number> {
  const volumes = await Promise.all(names.map((name) => cluster.volumes.get(`default/${name}`)));
  return volumes.filter((volume) => volume?.status.nodeName !== undefined).length;
}

async function managersOf(name: string): Promise<Record<string, string>> {
  const path = `/apis/btrfs-operator.io/v1alpha1/namespaces/default/loopbackvolumes/${name}`;
  const raw = (await cluster.transport.request({ method: 'GET', path })) as {
    metadata: { managedFields: { manager: string; subresource?: string; fieldsV1: unknown }[] };
  };
  return Object.fromEntries(
    raw.metadata.managedFields.map((entry) => [
      `${entry.manager}/${entry.subresource ?? ''}`,
      JSON.stringify(entry.fieldsV1),
    ]),
  );
}
