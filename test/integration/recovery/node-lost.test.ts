import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BtrfsNode } from '../../../src/api/btrfs-node.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import { agentLeaseName } from '../../../src/api/group.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, type Lab, startLab } from '../lab.ts';
import { loopsOf } from './host-view.ts';

const FLAGS = ['--lease-seconds=2', '--renew-seconds=0.5'];
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
