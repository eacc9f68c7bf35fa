import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { agentLeaseName, agentManager, LEADER_LEASE, VOLUME_FINALIZER } from '../../../src/api/group.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { EquippedControlPlane } from '../../cluster/equipped-control-plane.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import {
  condition,
  type FakeAgent,
  LEASE_SECONDS,
  readyOf,
  scheduledOf,
  startController,
  startFakeAgent,
  startOwnControlPlane,
  startTestCluster,
  type TestCluster,
} from './cluster.ts';

let controlPlane: EquippedControlPlane;
let cluster: TestCluster;

beforeAll(async () => {
  controlPlane = await startOwnControlPlane();
  cluster = await startTestCluster(controlPlane);
});

afterAll(() => cluster[Symbol.asyncDispose]());
afterEach(() => cluster.empty());

const leaseKey = `default/${agentLeaseName('node-a')}`;
const ready = () => condition('Ready', 'True', { reason: 'Ready', observedGeneration: 1 });
const isLost = (volume: LoopbackVolume) => readyOf(volume)?.reason === 'NodeLost';

/** A volume on the node that its agent has made Ready. */
async function readyVolume(name: string): Promise<LoopbackVolume> {
  await cluster.createVolume(name);
  const placed = await cluster.volumeThat(name, ({ status }) => status.nodeName !== undefined);
  return await cluster.agentWrites(placed, {
    observedGeneration: 1,
    sizeBytes: 2 ** 30,
    mountPath: '/mnt/x',
    conditions: [ready(), condition('Mounted', 'True')],
  });
}

/** An agent whose BtrfsNode belongs to a Node of the same name. */
async function agentOnNode(name: string): Promise<FakeAgent> {
  const { metadata } = await cluster.createNode(name);
  return await startFakeAgent(cluster, name, {}, { apiVersion: 'v1', kind: 'Node', name, uid: metadata.uid });
}

describe('LoopbackVolume: deletion', () => {
  it('one that was never placed goes at once', async () => {
    await using _controller = startController(cluster);
    await cluster.createVolume('vol');
    await cluster.volumeThat('vol', ({ metadata }) => metadata.finalizers?.includes(VOLUME_FINALIZER) === true);
    await cluster.volumes.delete('default/vol');
    await cluster.volumeGone('vol');
  });

  it('a placed one waits for Removed=True of its agent, and leaves foreign finalizers', async () => {
    await using _controller = startController(cluster);
    await using _agent = await startFakeAgent(cluster, 'node-a');
    await cluster.createVolume('vol', {}, ['example.com/foreign']);
    const placed = await cluster.volumeThat('vol', ({ status }) => status.nodeName !== undefined);
    await cluster.volumes.delete('default/vol');
    const deleting = await cluster.volumeThat('vol', ({ metadata }) => metadata.deletionTimestamp !== undefined);
    // A pass of the controller that ends after ours has begun proves that it has seen the deletion.
    await cluster.createVolume('witness');
    await cluster.volumeThat('witness', ({ status }) => status.nodeName !== undefined);
    expect((await cluster.volumes.get('default/vol'))?.metadata.finalizers).toContain(VOLUME_FINALIZER);
    const observedGeneration = deleting.metadata.generation ?? 0;
    await cluster.agentWrites(placed, { conditions: [condition('Removed', 'True', { observedGeneration })] });
    await cluster.volumeThat('vol', ({ metadata }) => metadata.finalizers?.join() === 'example.com/foreign');
  });
});

describe('LoopbackVolume and BtrfsNode: a lost node', () => {
  it('is said once under the agent’s manager with all it had written; the agent takes it back', async () => {
    await using _controller = startController(cluster);
    await using agent = await startFakeAgent(cluster, 'node-a');
    const before = await readyVolume('vol');
    await agent.stop();
    const lost = await cluster.volumeThat('vol', isLost, 15_000);
    expect(readyOf(lost)).toMatchObject({
      status: 'Unknown',
      message: expect.stringContaining(
        'the agent of node node-a has stopped renewing its Lease; what is on the node is unknown. Bring the node or its agent back',
      ),
    });
    expect(lost.status).toMatchObject({
      nodeName: 'node-a',
      observedGeneration: 1,
      sizeBytes: 2 ** 30,
      mountPath: '/mnt/x',
    });
    expect(scheduledOf(lost)).toEqual(scheduledOf(before));
    const node = await waitFor(
      async () => {
        const seen = await cluster.btrfsNodes.get('node-a');
        return seen !== undefined && readyOf(seen)?.reason === 'NodeLost' ? seen : undefined;
      },
      { what: 'NodeLost of node-a' },
    );
    expect(node.status.allocatableBytes).toBe(10 * 2 ** 30);
    await cluster.event(lost, 'NodeLost');

    // Nothing is placed there, and nothing is written again.
    await cluster.createVolume('late');
    const late = await cluster.volumeThat('late', (volume) => scheduledOf(volume)?.status === 'False');
    expect(scheduledOf(late)?.message).toBe('0 of 1 nodes fit 1Gi: node-a has no live agent');
    expect((await cluster.volumes.get('default/vol'))?.metadata.resourceVersion).toBe(lost.metadata.resourceVersion);

    await agent.start();
    await agent.report();
    const back = await cluster.agentWrites(lost, { observedGeneration: 1, sizeBytes: 2 ** 30, conditions: [ready()] });
    expect(back.status.mountPath).toBeUndefined();
    await cluster.volumeThat('late', ({ status }) => status.nodeName === 'node-a');
    expect((await cluster.volumes.get('default/vol'))?.metadata.resourceVersion).toBe(back.metadata.resourceVersion);
    expect(agentManager('node-a')).toBe('btrfs-operator-agent/node-a');
  });

  it('is lost again when the agent goes silent a second time', async () => {
    await using _controller = startController(cluster);
    await using agent = await startFakeAgent(cluster, 'node-a');
    const volume = await readyVolume('vol');
    for (let round = 0; round < 2; round++) {
      await agent.stop();
      await cluster.volumeThat('vol', isLost, 15_000);
      await agent.start();
      await agent.report();
      await cluster.agentWrites(volume, { observedGeneration: 1, conditions: [ready()] });
    }
  });

  it('is not what an API server that hangs makes of all nodes', async () => {
    await using _controller = startController(cluster, '--leader-election=Off', '--log-level=error');
    await using _agent = await startFakeAgent(cluster, 'node-a');
    const before = await readyVolume('vol');
    controlPlane.pauseApiServer();
    await sleep(2 * LEASE_SECONDS * 1000);
    controlPlane.resumeApiServer();
    await cluster.createVolume('witness');
    await cluster.volumeThat('witness', ({ status }) => status.nodeName === 'node-a');
    const { metadata } = (await cluster.volumes.get('default/vol')) ?? before;
    expect(metadata.resourceVersion).toBe(before.metadata.resourceVersion);
  });

  it('holds a deletion while its Node is there, and lets it go with an event when the Node is gone', async () => {
    await using _controller = startController(cluster);
    await using agent = await agentOnNode('node-a');
    const volume = await readyVolume('vol');
    await agent.stop();
    await cluster.volumes.delete('default/vol');
    const held = await cluster.volumeThat('vol', isLost, 15_000);
    expect(held.metadata.finalizers).toContain(VOLUME_FINALIZER);
    await cluster.nodes.delete('node-a');
    await cluster.volumeGone('vol');
    const abandoned = async () =>
      (await cluster.eventsOf(volume)).find(({ note }) => note?.includes('the data stays on the disk'));
    expect(await waitFor(abandoned, { what: 'event about the data' })).toMatchObject({
      type: 'Warning',
      reason: 'NodeLost',
    });
    await waitFor(async () => (await cluster.btrfsNodes.get('node-a')) === undefined, {
      what: 'end of BtrfsNode node-a',
    });
  });

  it('F32 goes likewise when the BtrfsNode has no owner, and BtrfsNode and Lease go, where there are other Nodes', async () => {
    await using _controller = startController(cluster);
    await cluster.createNode('node-other');
    await cluster.createNode('node-a');
    await using agent = await startFakeAgent(cluster, 'node-a');
    await readyVolume('vol');
    // The agent outlives its Node, as pods of a DaemonSet do.
    await cluster.nodes.delete('node-a');
    await cluster.volumes.delete('default/vol');
    await agent.stop();
    await cluster.volumeGone('vol');
    await waitFor(async () => (await cluster.btrfsNodes.list()).length === 0, { what: 'end of BtrfsNode node-a' });
    await waitFor(async () => (await cluster.leases.get(leaseKey)) === undefined, { what: 'end of its Lease' });
  });

  it('F32 a Lease that a node left behind goes also when nothing else of the node is there any more', async () => {
    await cluster.createNode('node-other');
    await using agent = await startFakeAgent(cluster, 'node-a');
    await agent.stop();
    await cluster.btrfsNodes.delete('node-a');
    await using _controller = startController(cluster);
    await waitFor(async () => (await cluster.leases.get(leaseKey)) === undefined, { what: 'end of the Lease' });
    expect(await cluster.leases.get(`default/${LEADER_LEASE}`)).toBeDefined();
  });

  it('a BtrfsNode without an owner stays, and so does a volume that is being deleted', async () => {
    await using _controller = startController(cluster);
    await using agent = await startFakeAgent(cluster, 'node-a');
    await readyVolume('vol');
    await agent.stop();
    await cluster.volumes.delete('default/vol');
    await cluster.volumeThat('vol', isLost, 15_000);
    expect((await cluster.volumes.get('default/vol'))?.metadata.finalizers).toContain(VOLUME_FINALIZER);
    await cluster.btrfsNodes.delete('node-a');
    await cluster.volumeGone('vol');
  });
});

describe('runController', () => {
  it('goes on where the one before it has stopped', async () => {
    await using _agent = await startFakeAgent(cluster, 'node-a', { allocatableBytes: 3 * 2 ** 30 });
    const first = startController(cluster);
    const kept = await readyVolume('kept');
    const leaving = await readyVolume('leaving');
    expect(await first.stop()).toBe(0);
    await cluster.volumes.delete('default/leaving');
    await cluster.createVolume('late');
    await cluster.createVolume('large', { size: '2Gi' });
    await using _second = startController(cluster);
    await cluster.volumeThat('late', ({ status }) => status.nodeName === 'node-a');
    const refused = await cluster.volumeThat('large', (volume) => scheduledOf(volume)?.status === 'False');
    expect(scheduledOf(refused)?.message).toBe('0 of 1 nodes fit 2Gi: node-a has less than that left');
    const { metadata } = await cluster.volumeThat(
      'leaving',
      (volume) => volume.metadata.deletionTimestamp !== undefined,
    );
    const observedGeneration = metadata.generation ?? 0;
    await cluster.agentWrites(leaving, { conditions: [condition('Removed', 'True', { observedGeneration })] });
    await cluster.volumeGone('leaving');
    expect((await cluster.volumes.get('default/kept'))?.metadata.resourceVersion).toBe(kept.metadata.resourceVersion);
  });

  it('one of two stands by and takes over when the other stops', async () => {
    await using _agent = await startFakeAgent(cluster, 'node-a');
    const first = startController(cluster);
    await cluster.createVolume('one');
    await cluster.volumeThat('one', ({ status }) => status.nodeName !== undefined);
    await using _second = startController(cluster);
    expect(await first.stop()).toBe(0);
    await cluster.createVolume('two');
    await cluster.volumeThat('two', ({ status }) => status.nodeName !== undefined);
  });

  it('ends with 1 when another takes its Lease', async () => {
    const controller = startController(cluster);
    await cluster.createVolume('vol');
    await cluster.volumeThat('vol', (volume) => scheduledOf(volume) !== undefined);
    const spec = { holderIdentity: 'usurper', leaseDurationSeconds: 1 };
    await cluster.leases.patch(`default/${LEADER_LEASE}`, { spec }, { type: 'merge' });
    expect(await controller.exitCode).toBe(1);
  });

  it('works without leader election too', async () => {
    await using _agent = await startFakeAgent(cluster, 'node-a');
    await using _controller = startController(cluster, '--leader-election=Off');
    await cluster.createVolume('vol');
    await cluster.volumeThat('vol', ({ status }) => status.nodeName !== undefined);
    expect(await cluster.leases.get(`default/${LEADER_LEASE}`)).toBeUndefined();
  });
});
