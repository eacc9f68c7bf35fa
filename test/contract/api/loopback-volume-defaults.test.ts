import { beforeAll, describe, expect, test } from 'vitest';
import { parseLoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { create, createRoom, type Room, volumeManifest, volumesPath } from './objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

describe('LoopbackVolume: defaults', () => {
  const defaults = {
    owner: { uid: 0, gid: 0, mode: '0755' },
    metadataProfile: 'single',
    compression: 'zstd:3',
    discard: 'Async',
    durability: 'Full',
    mounted: true,
    deletionPolicy: 'Delete',
  };

  test('LoopbackVolume: a size is enough, the rest has defaults, the same as parseLoopbackVolume has', async () => {
    const { status, body } = await create(room, 'defaults', { size: '1Gi' });
    expect([status, body.spec]).toEqual([201, { size: '1Gi', ...defaults }]);
    const { uid, resourceVersion } = body.metadata;
    expect(parseLoopbackVolume({ metadata: { name: 'x', uid, resourceVersion }, spec: { size: '1Gi' } }).spec).toEqual(
      body.spec,
    );
  });

  test('LoopbackVolume: half an owner and an empty minimize are filled up', async () => {
    const { body } = await create(room, 'halves', { size: '1Gi', owner: { uid: 7 }, minimize: {} });
    expect(body.spec).toMatchObject({ owner: { uid: 7, gid: 0, mode: '0755' }, minimize: { headroom: '96Mi' } });
  });

  test('LoopbackVolume: null is the default where there is one, absence elsewhere', async () => {
    const nulls = {
      ...Object.fromEntries(Object.keys(defaults).map((key) => [key, null])),
      label: null,
      minimize: null,
      nodeName: null,
    };
    const { status, body } = await create(room, 'nulls', { size: '1Gi', ...nulls });
    expect([status, body.spec]).toEqual([201, { size: '1Gi', ...defaults }]);
  });

  test('LoopbackVolume: a new object has observedGeneration -1 and Ready Unknown, so that nothing takes it for done', async () => {
    await create(room, 'fresh', { size: '1Gi' });
    const { body } = await room.call(volumesPath(room, 'fresh'));
    expect(body.status).toEqual({
      observedGeneration: -1,
      conditions: [expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'Pending' })],
    });
    expect(parseLoopbackVolume(body).status).toEqual(body.status);
  });

  test('LoopbackVolume: a status given by the user is ignored', async () => {
    const body = { ...volumeManifest('own-status', { size: '1Gi' }), status: { nodeName: 'a', sizeBytes: 1 } };
    const answer = await room.call(volumesPath(room), { method: 'POST', body });
    expect([answer.status, answer.body.status.nodeName]).toEqual([201, undefined]);
  });
});
