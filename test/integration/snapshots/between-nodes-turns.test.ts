import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { namespaceType } from '../../../src/kube/resource-types.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { isSettled } from '../lab.ts';
import { commandsSince, markOf } from '../volumes/commands.ts';
import { conditionOf, pathOf } from './kit.ts';
import { startTwoNodes, type TwoNodes } from './two-nodes.ts';

const MiB = 1024 * 1024;
const copyOf = (name: string) => ({ source: { snapshotRef: { name } } });

let nodes: TwoNodes;

beforeAll(async () => {
  // The receiver asks for three at once, all for one volume: a volume has a quarter of the long places.
  nodes = await startTwoNodes({ senderFlags: ['--transfer-concurrency=1'], receiverFlags: ['--concurrency=16'] });
});
afterAll(() => nodes?.[Symbol.asyncDispose]());
beforeEach(() => {
  nodes.lab.showLogsOnFailure();
  nodes.proxy.release();
});

describe('Snapshot: transfers of a node take turns', () => {
  it('Snapshot: the sender sends as many as it is configured to, and namespaces take turns', async () => {
    const { lab, proxy, snapshots, agents } = nodes;
    await createResourceClient(lab.transport, namespaceType).create({ metadata: { name: 'other' } });
    const createVolume = async (name: string, nodeName: string) => {
      await lab.volumes.create({ metadata: { namespace: 'other', name }, spec: { size: '256Mi', nodeName } });
    };
    await createVolume('here', 'node-a');
    await createVolume('there', 'node-b');
    for (const name of ['here', 'there']) {
      const ready = async () => {
        const volume = await lab.volumes.get(`other/${name}`);
        return volume !== undefined && isSettled(volume, 'True');
      };
      await waitFor(ready, { what: `Ready other/${name}`, timeoutMs: 20_000 });
    }
    const isReady = async (key: string) => {
      const snapshot = await snapshots.client.get(key);
      return snapshot !== undefined && conditionOf(snapshot, 'Ready')?.status === 'True';
    };
    const source = { metadata: { namespace: 'other', name: 'small' }, spec: { volumeRef: { name: 'here' } } };
    await snapshots.client.create(source);
    await waitFor(() => isReady('other/small'), { what: 'Ready other/small', timeoutMs: 20_000 });

    const mark = markOf(agents.sender);
    const metricsUrl = new URL('/metrics', await agents.sender.metricsUrl());
    const line = async (length: number) => {
      const isSo = async () => (await (await fetch(metricsUrl)).text()).includes(`btrfs_transfers_waiting ${length}\n`);
      await waitFor(isSo, { what: `line of ${length}`, timeoutMs: 20_000 });
    };
    await nodes.begin('turn-0');
    for (const name of ['turn-1', 'turn-2']) await nodes.create(name);
    await line(2);
    await snapshots.client.create({
      metadata: { namespace: 'other', name: 'late' },
      spec: { volumeRef: { name: 'there' }, ...copyOf('small') },
    });
    await line(3);
    expect(nodes.transfers().filter((line) => line.startsWith('btrfs send'))).toHaveLength(1);
    proxy.release();
    await waitFor(() => isReady('other/late'), { what: 'Ready other/late', timeoutMs: 60_000 });
    for (const name of ['turn-0', 'turn-1', 'turn-2']) await snapshots.ready(name, 60_000);
    const { uid } = (await snapshots.client.get('other/small'))?.metadata ?? {};
    const isSend = (line: string) => line.startsWith('btrfs send') && !line.includes('--no-data');
    const sent = commandsSince(agents.sender, mark).filter(isSend);
    const isOfOther = sent.map((line) => line.includes(`${uid}`));
    expect(isOfOther.toSorted()).toEqual([false, false, false, true]);
    // Who came last, from another namespace, does not wait for the whole line of the first one.
    expect(isOfOther.indexOf(true)).toBeLessThan(isOfOther.lastIndexOf(false));
    for (const name of ['turn-0', 'turn-1', 'turn-2']) await nodes.expectWholeAndRemove(name);
  });
});

describe('Snapshot: of another node, as it is wanted', () => {
  it('Snapshot: a child that was committed is sent as the difference to its parent', async () => {
    const { snapshots } = nodes;
    const parent = await snapshots.ready('big');
    await nodes.create('parent-copy');
    await snapshots.ready('parent-copy', 30_000);
    await snapshots.create('child', 'here', { ...copyOf('big'), access: 'ReadWrite' });
    const childPath = pathOf(await snapshots.ready('child'));
    mkdirSync(path.join(childPath, 'work'));
    writeFileSync(path.join(childPath, 'work', 'result'), 'made in the child');
    await snapshots.change('child', { access: 'ReadOnly' });
    const child = await snapshots.ready('child');
    await snapshots.create('child-copy', 'there', copyOf('child'));
    const copy = await snapshots.ready('child-copy', 30_000);
    expect(copy.status.transfer).toMatchObject({ phase: 'Done', incrementalFrom: parent.status.uuid });
    expect(copy.status.transfer?.bytes).toBeLessThan(MiB);
    expect(copy.status.receivedUUID).toBe(child.status.uuid);
    expect(readFileSync(path.join(pathOf(copy), 'work', 'result'), 'utf8')).toBe('made in the child');
    await snapshots.remove('child-copy');
    await nodes.expectWholeAndRemove('parent-copy');
  });

  it('Snapshot: a ReadWrite one can be written to and committed, and belongs to its owner', async () => {
    const { snapshots } = nodes;
    await nodes.create('writable', { access: 'ReadWrite', owner: { uid: 1234, gid: 4321, mode: '0750' } });
    const writable = await snapshots.ready('writable', 30_000);
    const { uid, gid, mode } = statSync(pathOf(writable));
    expect([uid, gid, (mode & 0o7777).toString(8)]).toEqual([1234, 4321, '750']);
    // What is written to has not been received: nobody may take it for what was sent.
    expect(writable.status.receivedUUID).toBeUndefined();
    expect(conditionOf(writable, 'Committed')?.status).toBe('False');
    writeFileSync(path.join(pathOf(writable), 'more'), 'more');
    await snapshots.change('writable', { access: 'ReadOnly' });
    const committed = await snapshots.that('writable', (now) => conditionOf(now, 'Committed')?.status === 'True');
    expect(readFileSync(path.join(pathOf(committed), 'more'), 'utf8')).toBe('more');
    expect(() => writeFileSync(path.join(pathOf(committed), 'late'), '')).toThrow('EROFS');
    await nodes.expectWholeAndRemove('writable');
  });
});
