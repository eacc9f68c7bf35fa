import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { conditionOf } from '../lab.ts';
import { expectTreeToMatch } from './on-disk.ts';
import { startTwoNodes, type TwoNodes } from './two-nodes.ts';

let nodes: TwoNodes;

beforeAll(async () => {
  nodes = await startTwoNodes();
});
afterAll(() => nodes?.[Symbol.asyncDispose]());
beforeEach(() => {
  nodes.lab.showLogsOnFailure();
  nodes.proxy.release();
});

/** As a crash or a power cut of the pod. */
async function kill(...ends: readonly ('sender' | 'receiver')[]): Promise<void> {
  for (const end of ends) nodes.agents[end].kill('SIGKILL');
  await Promise.all(ends.map((end) => nodes.agents[end].exited));
}

async function start(...ends: readonly ('sender' | 'receiver')[]): Promise<void> {
  const starts = { sender: nodes.startSender, receiver: nodes.startReceiver };
  for (const end of ends) nodes.agents[end] = await starts[end]();
}

describe('Snapshot: agents killed in the middle of a transfer', () => {
  for (const ends of [['sender'], ['receiver'], ['sender', 'receiver']] as const) {
    it(`Snapshot: ${ends.join(' and ')} killed: nothing that looks like a snapshot, and after a restart it is whole`, async () => {
      const name = `killed-${ends.join('-')}`;
      const copy = await nodes.begin(name);
      await nodes.expectNotMade(copy);
      await kill(...ends);
      await nodes.expectNotMade(copy);
      nodes.proxy.release();
      await start(...ends);
      await nodes.expectWholeAndRemove(name);
    });
  }
});

describe('Snapshot: a transfer that is not wanted any more', () => {
  it('Snapshot: deleted in the middle of a transfer it goes within seconds, and both ends stop', async () => {
    const copy = await nodes.begin('deleted');
    await nodes.snapshots.remove('deleted', 10_000);
    // The network is still held: nobody waits for it.
    await nodes.expectNothingLeft();
    const events = await nodes.lab.eventsOf(copy);
    expect(events.map(({ reason }) => reason)).not.toContain('Transferred');
  });

  it('Snapshot: deleted while its agent is dead it goes when that is back, with all that was received', async () => {
    await nodes.begin('left-behind');
    await kill('receiver');
    await nodes.snapshots.client.delete('default/left-behind');
    nodes.proxy.release();
    await start('receiver');
    await nodes.snapshots.remove('left-behind');
    await nodes.expectNothingLeft();
    expectTreeToMatch(await nodes.lab.ready('there'), []);
  });

  it('Snapshot: mounted: false of its volume says InUse and waits for the transfer', async () => {
    const { lab, proxy } = nodes;
    const copy = await nodes.begin('undisturbed');
    await lab.change('there', { mounted: false });
    const held = await lab.volumeThat('there', (volume) => conditionOf(volume, 'Ready')?.reason === 'InUse', 30_000);
    expect(conditionOf(held, 'Ready')?.status).toBe('False');
    await nodes.expectNotMade(copy);
    proxy.release();
    await lab.withReason('there', 'Ready', 'Unmounted', 60_000);
    expect(nodes.transfers()).toEqual([]);
    await lab.change('there', { mounted: true });
    await lab.ready('there');
    const whole = await nodes.expectWholeAndRemove('undisturbed');
    expect(proxy.connections).toBeGreaterThan(0);
    expect(whole.metadata.uid).toBe(copy.metadata.uid);
  });
});

describe('Snapshot: a source that is out of reach', () => {
  it('Snapshot: waits with SourceNotReady while the volume of its source is not mounted', async () => {
    const { lab, snapshots } = nodes;
    await lab.change('here', { mounted: false });
    await lab.withReason('here', 'Ready', 'Unmounted');
    const copy = await nodes.create('waits-for-volume');
    await snapshots.withReason('waits-for-volume', 'Ready', 'SourceNotReady');
    await nodes.expectNotMade(copy);
    await lab.change('here', { mounted: true });
    await lab.ready('here');
    await nodes.expectWholeAndRemove('waits-for-volume');
  });

  it('Snapshot: waits with SourceNotReady while the node of its source can not be reached', async () => {
    await kill('sender');
    const copy = await nodes.create('waits-for-node');
    const waiting = await nodes.snapshots.withReason('waits-for-node', 'Ready', 'SourceNotReady');
    expect(JSON.stringify(waiting.status.conditions)).toContain('node-a');
    await nodes.expectNotMade(copy);
    await start('sender');
    await nodes.expectWholeAndRemove('waits-for-node');
  });
});
