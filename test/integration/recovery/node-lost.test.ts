import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BtrfsNode } from '../../../src/api/btrfs-node.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import { agentLeaseName } from '../../../src/api/group.ts';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { AuditedRequest } from '../../cluster/audit.ts';
import { allowUpdates, refuseUpdates } from '../../cluster/refused-updates.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, type Lab, startLab } from '../lab.ts';
import { loopsOf } from './host-view.ts';

const LEASE_SECONDS = 2;
const FLAGS = [`--lease-seconds=${LEASE_SECONDS}`, '--renew-seconds=0.5'];
let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const nodeThat = (is: (node: BtrfsNode) => boolean) =>
  waitFor(
    async () => {
      const node = await lab.btrfsNodes.get('node-a');
      return node !== undefined && is(node) ? node : undefined;
    },
    { what: 'BtrfsNode as expected', timeoutMs: 20_000 },
  );
const readyOf = (node: BtrfsNode) => findCondition(node.status.conditions, 'Ready');

describe('BtrfsNode: a node that leaves the cluster', () => {
  it('F32 is not announced again by the agent that outlives its Node, and leaves nothing when it is switched off', async () => {
    await lab.createNode('node-other');
    const node = await lab.createNode('node-leaving');
    const agent = await lab.startAgent('node-leaving', { flags: FLAGS });
    const owners = async () => (await lab.leases.get(leaseKey))?.metadata.ownerReferences ?? [];
    const leaseKey = `default/${agentLeaseName('node-leaving')}`;
    const btrfsNode = await lab.btrfsNodes.get('node-leaving');
    expect(btrfsNode?.metadata.ownerReferences).toMatchObject([{ kind: 'Node', uid: node.metadata.uid }]);
    await waitFor(async () => (await owners())[0]?.uid === btrfsNode?.metadata.uid, { what: 'owner of the Lease' });
    await lab.createVolume('of-leaving', { size: '256Mi', nodeName: 'node-leaving' });
    await lab.ready('of-leaving');

    await lab.nodes.delete('node-leaving');
    // In the place of garbage collection, which the lab has not.
    await lab.btrfsNodes.delete('node-leaving');
    await waitFor(async () => (await owners()).length === 0, { what: 'Lease without an owner' });
    // It still does what it is asked for.
    await lab.change('of-leaving', { size: '384Mi' });
    await lab.ready('of-leaving');
    expect(await lab.btrfsNodes.get('node-leaving')).toBeUndefined();

    agent.kill('SIGKILL');
    await lab.remove('of-leaving');
    await waitFor(async () => (await lab.leases.get(leaseKey)) === undefined, { what: 'end of the Lease' });
    expect(await lab.btrfsNodes.get('node-leaving')).toBeUndefined();
    await lab.nodes.delete('node-other');
  });
});

describe('BtrfsNode and LoopbackVolume: an agent that is silent', () => {
  it.each(['hangs', 'is killed'])(
    'NodeLost: while the agent %s both say so and keep the rest, and it goes when the agent is back',
    async (fate) => {
      let agent = await lab.startAgent('node-a', { flags: FLAGS });
      const name = fate === 'hangs' ? 'of-hung' : 'of-killed';
      await lab.createVolume(name, { size: '256Mi' });
      const before = await lab.ready(name);
      const nodeBefore = await nodeThat((node) => readyOf(node)?.status === 'True');
      agent.kill(fate === 'hangs' ? 'SIGSTOP' : 'SIGKILL');

      const lostNode = await nodeThat((node) => readyOf(node)?.reason === 'NodeLost');
      expect(readyOf(lostNode)).toMatchObject({ status: 'Unknown', message: expect.stringContaining('node-a') });
      const { conditions: _, ...nodeFigures } = nodeBefore.status;
      expect(lostNode.status).toMatchObject({
        kernel: nodeFigures.kernel,
        allocatableBytes: nodeFigures.allocatableBytes,
      });
      const lost = await lab.withReason(name, 'Ready', 'NodeLost');
      expect(conditionOf(lost, 'Ready')?.status).toBe('Unknown');
      for (const field of [
        'nodeName',
        'imagePath',
        'mountPath',
        'loopDevice',
        'filesystemUUID',
        'sizeBytes',
      ] as const) {
        expect([field, lost.status[field]]).toEqual([field, before.status[field]]);
      }
      expect(conditionOf(lost, 'Mounted')).toEqual(conditionOf(before, 'Mounted'));

      if (fate === 'hangs') agent.kill('SIGCONT');
      else agent = await lab.startAgent('node-a', { flags: FLAGS });
      await lab.ready(name);
      await nodeThat((node) => readyOf(node)?.status === 'True');
      expect(loopsOf(before.status.imagePath ?? '')).toEqual([before.status.loopDevice]);
      await agent.end();
    },
  );
});

describe('LoopbackVolume: an agent that works and can not renew its Lease', () => {
  it('F30 is NodeLost, said once by the controller; the agent goes on and says nothing of Ready until it has renewed', async () => {
    const agent = await lab.startAgent('node-mute', { flags: FLAGS });
    await lab.createVolume('of-mute', { size: '256Mi', nodeName: 'node-mute' });
    await lab.ready('of-mute');
    const readyz = async () => (await fetch(new URL('/readyz', await agent.healthUrl()))).status;
    expect(await readyz()).toBe(200);
    const lease = agentLeaseName('node-mute');
    const rule = {
      apiGroups: ['coordination.k8s.io'],
      apiVersions: ['*'],
      resources: ['leases'],
      operations: ['UPDATE'],
    };
    await refuseUpdates(lab.access, lease, { resourceRules: [{ ...rule, resourceNames: [lease] }] });

    const lost = conditionOf(await lab.withReason('of-mute', 'Ready', 'NodeLost'), 'Ready');
    expect(await readyz()).toBe(503);
    for (const size of ['320Mi', '384Mi']) {
      await lab.change('of-mute', { size });
      const grown = await lab.volumeThat(
        'of-mute',
        ({ status, metadata }) =>
          status.observedGeneration === metadata.generation &&
          findCondition(status.conditions, 'Resized')?.status === 'True',
      );
      expect(conditionOf(grown, 'Ready')).toEqual(lost);
    }
    const isDone = (volume: LoopbackVolume) =>
      conditionOf(volume, 'Scheduled')?.observedGeneration === volume.metadata.generation;
    await lab.volumeThat('of-mute', isDone);
    const isWrite = ({ resource, name, verb }: AuditedRequest) =>
      resource === 'loopbackvolumes.btrfs-operator.io/status' && name === 'of-mute' && verb !== 'get';
    const writes = () => lab.audit.requests().filter(isWrite).length;
    const before = writes();
    // Both look again and again meanwhile.
    await sleep(3 * LEASE_SECONDS * 1000);
    expect(writes()).toBe(before);

    await allowUpdates(lab.access, lease);
    await lab.ready('of-mute');
    await waitFor(async () => (await readyz()) === 200, { what: 'ready agent' });
    await agent.end();
  });
});
