import { beforeAll, describe, expect, test } from 'vitest';
import { agentManager, CONTROLLER_MANAGER } from '../../../src/api/group.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { condition, createRoom, type Room } from './objects.ts';
import { applySnapshotStatus, createSnapshot, patchSnapshot, snapshotsPath } from './snapshot-objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

const AGENT = agentManager('node-a');
const scheduled = condition('Scheduled', 'True', 'Placed');
const refusal = (message: string) => ({
  status: 422,
  body: expect.objectContaining({ message: expect.stringContaining(message) }),
});
const UID = '5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f';
const base = { snapshotRef: { name: 'base' } };

describe('Snapshot: commit', () => {
  test('D9 Snapshot: ReadWrite to ReadOnly is accepted, the way back is refused, whatever it is made of', async () => {
    const stays =
      'spec.access: Invalid value: is ReadOnly for ever; make a ReadWrite Snapshot with this one as source.snapshotRef';
    for (const [index, source] of [{ volume: {} }, { empty: {} }, base].entries()) {
      const name = `commit-${index}`;
      expect((await createSnapshot(room, name, { source, access: 'ReadWrite' })).status).toBe(201);
      expect((await patchSnapshot(room, name, { access: 'ReadOnly' })).status).toBe(200);
      expect((await patchSnapshot(room, name, { access: 'ReadOnly' })).status).toBe(200);
      expect(await patchSnapshot(room, name, { access: 'ReadWrite' })).toEqual(refusal(stays));
    }
  });

  test('D9 Snapshot: one that was ReadOnly from the start stays so, the default access too', async () => {
    await createSnapshot(room, 'view', { source: base });
    expect(await patchSnapshot(room, 'view', { access: 'ReadWrite' })).toEqual(refusal('is ReadOnly for ever'));
    await createSnapshot(room, 'writable', { source: base, access: 'ReadWrite' });
    expect((await patchSnapshot(room, 'writable', { access: null })).body.spec.access).toBe('ReadOnly');
    expect(await patchSnapshot(room, 'writable', { access: 'ReadWrite' })).toEqual(refusal('is ReadOnly for ever'));
  });
});

describe('Snapshot: what stays', () => {
  const changes: readonly (readonly [from: object, to: object, field: string])[] = [
    [{ volumeRef: { name: 'demo' } }, { volumeRef: { name: 'other' } }, 'spec.volumeRef'],
    [{ source: base }, { source: { snapshotRef: { name: 'other' } } }, 'spec.source'],
    [{ source: base }, { source: { snapshotRef: null, volume: {} } }, 'spec.source'],
    [{ source: base }, { source: null }, 'spec.source'],
    [{ source: { volume: {} } }, { source: { volume: null, ...base } }, 'spec.source'],
    [{ source: { empty: {} }, access: 'ReadWrite' }, { source: { empty: null, volume: {} } }, 'spec.source'],
    [{}, { source: { volume: null, ...base } }, 'spec.source'],
    [{ source: { adopt: { uid: UID } } }, { source: { adopt: null, volume: {} } }, 'spec.source'],
    [{ source: { stream: { file: 'a' } } }, { source: { stream: { file: 'b' } } }, 'spec.source'],
  ];
  test.each(changes.map((change, index) => [index, ...change] as const))(
    'D9 Snapshot: %i: %j to %j is refused',
    async (index, from, to, field) => {
      const name = `stays-${index}`;
      expect((await createSnapshot(room, name, from)).status).toBe(201);
      expect(await patchSnapshot(room, name, to)).toEqual(
        refusal(`${field}: Invalid value: cannot be changed; make a new Snapshot`),
      );
    },
  );

  test('Snapshot: exports and the policy may change, and the default source may be written out', async () => {
    await createSnapshot(room, 'free');
    for (const spec of [
      { exports: [{ name: 'full' }] },
      { exports: null },
      { deletionPolicy: 'Retain' },
      { source: { volume: {} } },
    ])
      expect([spec, (await patchSnapshot(room, 'free', spec)).status]).toEqual([spec, 200]);
  });

  test('Snapshot: status.nodeName is set once: neither changed nor removed', async () => {
    await createSnapshot(room, 'once');
    const place = (status: object) =>
      applySnapshotStatus(room, 'once', CONTROLLER_MANAGER, { conditions: [scheduled], ...status });
    expect((await place({ nodeName: 'node-a' })).status).toBe(200);
    const stays = refusal('status.nodeName: Invalid value: is set once; the Snapshot stays on node-a');
    expect(await place({ nodeName: 'node-b' })).toEqual(stays);
    expect(await place({})).toEqual(stays);
  });

  test('Snapshot: an agent that writes the field or the condition of the controller gets a conflict', async () => {
    await createSnapshot(room, 'two-writers');
    await applySnapshotStatus(room, 'two-writers', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    const other = condition('Scheduled', 'False', 'VolumeNotFound');
    for (const status of [{ nodeName: 'node-b' }, { conditions: [other] }])
      expect((await applySnapshotStatus(room, 'two-writers', AGENT, status)).status).toBe(409);
  });
});

describe('kubectl get bsnap', () => {
  const rows = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s{2,}/));

  beforeAll(async () => {
    await waitFor(() => room.kubectl(['explain', 'bsnap']), { what: 'short name bsnap' });
    await createSnapshot(room, 'child', { source: base, access: 'ReadWrite' });
    await applySnapshotStatus(room, 'child', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    await applySnapshotStatus(room, 'child', AGENT, {
      observedGeneration: 1,
      source: 'Snapshot base',
      subvolumeID: 257,
      childCount: 3,
      conditions: [condition('Ready', 'True', 'Ready'), condition('Committed', 'False', 'Writable')],
    });
  });

  test('Snapshot: kubectl get bsnap shows volume, source, access, ready, committed and age', async () => {
    const [head, line] = rows(await room.kubectl(['get', 'bsnap', 'child']));
    const columns = ['NAME', 'READY', 'REASON', 'VOLUME', 'SOURCE', 'ACCESS', 'COMMITTED', 'SCHEDULED', 'AGE'];
    expect(head).toEqual(columns);
    expect(line?.slice(0, 4)).toEqual(['child', 'True', 'Ready', 'demo']);
    expect(line?.[4]).toBe('Snapshot base');
    expect(line?.slice(5, 8)).toEqual(['ReadWrite', 'False', 'Placed']);
  });

  test('Snapshot: kubectl get bsnap -o wide adds node, subvolume, children and the message', async () => {
    const [head, line] = rows(await room.kubectl(['get', 'bsnap', 'child', '-o', 'wide']));
    expect(head?.slice(9)).toEqual(['NODE', 'SUBVOLUME', 'CHILDREN', 'MESSAGE']);
    expect(line?.slice(9)).toEqual(['node-a', '257', '3', 'Ready is True']);
  });

  test('Snapshot: is listed with the category, and by node as an agent asks', async () => {
    expect(await room.kubectl(['get', 'btrfs', '-o', 'name'])).toContain('snapshot.btrfs-operator.io/child');
    const names = await room.kubectl(['get', 'bsnap', '--field-selector=status.nodeName=node-a', '-o', 'name']);
    expect(names).toContain('snapshot.btrfs-operator.io/child');
    expect((await room.call(snapshotsPath(room, 'child'))).body.status.nodeName).toBe('node-a');
  });
});
