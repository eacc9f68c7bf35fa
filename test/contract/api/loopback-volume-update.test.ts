import { beforeAll, describe, expect, test } from 'vitest';
import { agentManager, CONTROLLER_MANAGER, VOLUME_FINALIZER } from '../../../src/api/group.ts';
import { applyStatus, condition, create, createRoom, patchSpec, type Room, volumesPath } from './objects.ts';

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

async function createPlaced(name: string, spec: object, sizeBytes?: number): Promise<void> {
  expect((await create(room, name, spec)).status).toBe(201);
  const placed = await applyStatus(room, name, CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
  expect(placed.status).toBe(200);
  if (sizeBytes === undefined) return;
  const conditions = [condition('Ready', 'True', 'Ready')];
  expect((await applyStatus(room, name, AGENT, { observedGeneration: 1, sizeBytes, conditions })).status).toBe(200);
}

describe('LoopbackVolume: spec.nodeName', () => {
  test('LoopbackVolume: nodeName may be set, changed and removed before the volume is placed', async () => {
    await create(room, 'wish', { size: '1Gi', nodeName: 'node-b' });
    for (const nodeName of ['node-c', null, 'node-a']) {
      expect((await patchSpec(room, 'wish', { nodeName })).status).toBe(200);
    }
  });

  test('LoopbackVolume: nodeName of a placed volume is neither changed nor removed', async () => {
    await createPlaced('pinned', { size: '1Gi', nodeName: 'node-a' });
    const moved =
      'spec.nodeName: Invalid value: must stay node-a, where the volume is; got node-b; make a new volume to have one there';
    expect(await patchSpec(room, 'pinned', { nodeName: 'node-b' })).toEqual(refusal(moved));
    const removed = 'spec.nodeName: Invalid value: cannot be removed once the volume is placed; put node-a back';
    expect(await patchSpec(room, 'pinned', { nodeName: null })).toEqual(refusal(removed));
    expect(await patchSpec(room, 'pinned', { nodeName: null, nodeSelector: { a: 'b' } })).toEqual(refusal(removed));
  });

  test('LoopbackVolume: a volume placed by capacity may be pinned to the node where it is, to no other', async () => {
    await createPlaced('pinned-later', { size: '1Gi' });
    expect(await patchSpec(room, 'pinned-later', { nodeName: 'node-b' })).toEqual(refusal('must stay node-a'));
    expect((await patchSpec(room, 'pinned-later', { nodeName: 'node-a' })).status).toBe(200);
  });

  test('LoopbackVolume: a placement against spec.nodeName, changed in the same moment, is refused', async () => {
    await create(room, 'race', { size: '1Gi', nodeName: 'node-b' });
    const answer = await applyStatus(room, 'race', CONTROLLER_MANAGER, { nodeName: 'node-a', conditions: [scheduled] });
    expect(answer).toEqual(refusal('spec.nodeName'));
  });
});

describe('LoopbackVolume: status.nodeName', () => {
  test('LoopbackVolume: status.nodeName is set once: neither changed nor removed, by whatever way', async () => {
    await createPlaced('once', { size: '1Gi' });
    const stays = refusal('status.nodeName: Invalid value: is set once; the volume stays on node-a');
    const statusPath = `${volumesPath(room, 'once')}/status`;
    expect(
      await applyStatus(room, 'once', CONTROLLER_MANAGER, { nodeName: 'node-b', conditions: [scheduled] }),
    ).toEqual(stays);
    expect(await applyStatus(room, 'once', CONTROLLER_MANAGER, { conditions: [scheduled] })).toEqual(stays);
    for (const status of [{ nodeName: null }, null]) {
      expect(await room.call(statusPath, { method: 'PATCH', body: { status } })).toEqual(stays);
    }
    const { status: _, ...withoutStatus } = (await room.call(volumesPath(room, 'once'))).body;
    expect(await room.call(statusPath, { method: 'PUT', body: withoutStatus })).toEqual(stays);
  });

  test('LoopbackVolume: an agent that writes the field or the condition of the controller gets a conflict', async () => {
    await createPlaced('two-writers', { size: '1Gi' });
    const own = { observedGeneration: 1, conditions: [condition('Ready', 'True', 'Ready')] };
    for (const status of [
      { ...own, nodeName: 'node-b' },
      { ...own, conditions: [condition('Scheduled', 'False', 'NoNodeFits')] },
    ]) {
      expect((await applyStatus(room, 'two-writers', AGENT, status)).status).toBe(409);
    }
  });
});

describe('LoopbackVolume: writers of status', () => {
  test('LoopbackVolume: each writer applies its part over the default status, without force, and drops only its own', async () => {
    await createPlaced('parts', { size: '1Gi' }, 1073741824);
    const ready = condition('Ready', 'True', 'Ready');
    const { body } = await room.call(volumesPath(room, 'parts'));
    expect(body.status).toEqual({
      observedGeneration: 1,
      nodeName: 'node-a',
      sizeBytes: 1073741824,
      conditions: expect.anything(),
    });
    expect(body.status.conditions).toHaveLength(2);
    const mounted = condition('Mounted', 'True', 'Mounted');
    await applyStatus(room, 'parts', AGENT, { observedGeneration: 1, conditions: [ready, mounted] });
    const next = await applyStatus(room, 'parts', AGENT, { observedGeneration: 1, conditions: [ready] });
    expect(next.body.status).toEqual({ observedGeneration: 1, nodeName: 'node-a', conditions: expect.anything() });
    expect(next.body.status.conditions.map(({ type }: { type: string }) => type).sort()).toEqual([
      'Ready',
      'Scheduled',
    ]);
  });

  test('LoopbackVolume: the same status applied again writes nothing', async () => {
    await createPlaced('idle', { size: '1Gi' }, 1073741824);
    const before = await room.call(volumesPath(room, 'idle'));
    const conditions = [condition('Ready', 'True', 'Ready')];
    await applyStatus(room, 'idle', AGENT, { observedGeneration: 1, sizeBytes: 1073741824, conditions });
    const after = await room.call(volumesPath(room, 'idle'));
    expect(after.body.metadata.resourceVersion).toBe(before.body.metadata.resourceVersion);
  });

  test('LoopbackVolume: a status with a field that the schema does not know is pruned, one of the wrong type refused', async () => {
    await createPlaced('strange', { size: '1Gi' });
    const wrong = await applyStatus(room, 'strange', AGENT, { sizeBytes: '1Gi' });
    expect([wrong.status, wrong.body.message]).toEqual([expect.any(Number), expect.stringContaining('sizeBytes')]);
    expect(wrong.status).toBeGreaterThanOrEqual(400);
  });
});

describe('LoopbackVolume: changes of spec', () => {
  test.each([
    ['single', 'dup'],
    ['dup', 'single'],
    ['dup', null],
  ])('LoopbackVolume: metadataProfile stays: %s to %s is refused', async (from, to) => {
    const name = `profile-${from}-${to}`;
    await create(room, name, { size: '1Gi', metadataProfile: from });
    const message = `spec.metadataProfile: Invalid value: "${to ?? 'single'}": is chosen when the volume is made and stays ${from}; make a new volume for ${to ?? 'single'}`;
    expect(await patchSpec(room, name, { metadataProfile: to })).toEqual(refusal(message));
  });

  test('LoopbackVolume: all else may change while the volume is there', async () => {
    await createPlaced('changing', { size: '1Gi', label: 'a' }, 1073741824);
    const changes = [
      { size: '2Gi' },
      { size: '512Mi' },
      { label: 'b' },
      { label: null },
      { owner: { uid: 5 } },
      { compression: 'none' },
      { discard: 'Off' },
      { durability: 'Disposable' },
      { mounted: false },
      { minimize: {} },
      { minimize: null },
      { deletionPolicy: 'Retain' },
      { nodeSelector: { a: 'b' } },
    ];
    for (const spec of changes) expect([spec, (await patchSpec(room, 'changing', spec)).status]).toEqual([spec, 200]);
  });

  test('LoopbackVolume: a volume that exists is not resized to less than btrfs can, but may go back to the size it has', async () => {
    await createPlaced('floor', { size: 200_000_000 }, 200_003_584);
    for (const size of ['128Mi', '255Mi', 200_003_585, 199_999_488]) {
      const message = `spec.size: Invalid value: must be 256Mi or more to resize a volume that exists, which is a limit of btrfs; got ${size}`;
      expect(await patchSpec(room, 'floor', { size })).toEqual(refusal(message));
    }
    for (const size of ['256Mi', 200_000_000, '1Gi', 200_003_584, 199_999_489]) {
      expect([size, (await patchSpec(room, 'floor', { size })).status]).toEqual([size, 200]);
    }
  });

  test('LoopbackVolume: a size below that is still free to change before the volume exists', async () => {
    await createPlaced('early', { size: '1Gi' });
    expect((await patchSpec(room, 'early', { size: '128Mi' })).status).toBe(200);
  });

  test('LoopbackVolume: the finalizer comes and goes whatever the state', async () => {
    await createPlaced('finalized', { size: '128Mi' }, 134217728);
    for (const finalizers of [[VOLUME_FINALIZER], []]) {
      const answer = await room.call(volumesPath(room, 'finalized'), {
        method: 'PATCH',
        body: { metadata: { finalizers } },
      });
      expect(answer.status).toBe(200);
    }
  });
});
