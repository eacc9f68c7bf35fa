import { beforeAll, describe, expect, test } from 'vitest';
import { create, createRoom, patchSpec, type Room } from './objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

const SHA256 = '0'.repeat(64);
const url = 'https://example.com/base.btrfs';
const snapshotRef = { name: 'base' };
const UID = '5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f';

describe('LoopbackVolume: a source that can not be is refused', () => {
  test.each([
    [
      'none of them',
      { source: {} },
      'spec.source: Invalid value: must have exactly one of snapshotRef, stream, image and adopt',
    ],
    ['two of them', { nodeName: 'a', source: { snapshotRef, stream: { file: 'a' } } }, 'must have exactly one of'],
    ['a file without a node', { source: { stream: { file: 'a' } } }, 'must name the node that has the file of source'],
    [
      'an image file without a node',
      { source: { image: { file: 'a' } } },
      'must name the node that has the file of source',
    ],
    ['adoption beside another one', { source: { snapshotRef, adopt: { uid: UID } } }, 'must have exactly one of'],
    ['adoption of a name', { source: { adopt: { uid: 'vol' } } }, 'must be the uid of an orphan'],
    ['adoption of a path', { source: { adopt: { uid: '../../etc' } } }, 'must be the uid of an orphan'],
    ['adoption of nothing', { source: { adopt: {} } }, 'spec.source.adopt.uid: Required value'],
    ['a path', { nodeName: 'a', source: { stream: { file: '../a' } } }, 'must be a plain file name'],
    ['a hidden file', { nodeName: 'a', source: { image: { file: '.a' } } }, 'must be a plain file name'],
    [
      'url and file',
      { nodeName: 'a', source: { stream: { file: 'a', url, sha256: SHA256 } } },
      'must have either url or file',
    ],
    ['a url without a digest', { source: { stream: { url } } }, 'must have sha256 with a url'],
    ['plain http', { source: { image: { url: 'http://example.com/a', sha256: SHA256 } } }, 'must begin with https://'],
    ['a short digest', { nodeName: 'a', source: { stream: { file: 'a', sha256: 'abc' } } }, '64 hexadecimal digits'],
    ['an empty reference', { source: { snapshotRef: { name: '' } } }, 'spec.source.snapshotRef.name'],
    [
      'an export of what is mounted',
      { export: { file: 'a' } },
      'spec.export: Invalid value: must come with mounted: false',
    ],
    ['an export to a path', { mounted: false, export: { file: 'a/b' } }, 'must be a plain file name'],
  ])('C11 LoopbackVolume: %s is refused', async (_, spec, message) => {
    const { status, body } = await create(room, 'refused', { size: '1Gi', ...spec });
    expect([status, body.message]).toEqual([422, expect.stringContaining(message)]);
  });

  test.each([
    ['adopted', { source: { adopt: { uid: UID } } }],
    ['from-snapshot', { source: { snapshotRef } }],
    ['from-url', { source: { stream: { url, sha256: SHA256 } } }],
    ['from-file', { nodeName: 'a', source: { image: { file: 'base.img' } } }],
    ['golden', { source: { snapshotRef }, mounted: false, minimize: {}, export: { file: 'base.img' } }],
  ])('C11 LoopbackVolume: %s is accepted', async (name, spec) => {
    expect((await create(room, name, { size: '1Gi', ...spec })).status).toBe(201);
  });
});

describe('LoopbackVolume: a source stays as it is, an export may come and go', () => {
  test.each([
    ['changed', { source: { snapshotRef: { name: 'other' } } }],
    ['taken away', { source: null }],
    ['changed to an adoption', { source: { snapshotRef: null, adopt: { uid: UID } } }],
    ['changed in kind', { source: { snapshotRef: null, stream: { url, sha256: SHA256 } } }],
  ])('C11 LoopbackVolume: a source is not %s', async (_, change) => {
    await create(room, 'stays', { size: '1Gi', source: { snapshotRef } });
    const { status, body } = await patchSpec(room, 'stays', change);
    expect([status, body.message]).toEqual([422, expect.stringContaining('cannot be changed, added or removed')]);
  });

  test('C11 LoopbackVolume: a source is not added to a volume without one', async () => {
    await create(room, 'empty', { size: '1Gi' });
    expect((await patchSpec(room, 'empty', { source: { snapshotRef } })).status).toBe(422);
    expect((await patchSpec(room, 'empty', { size: '2Gi' })).status).toBe(200);
  });

  test('LoopbackVolume: an export is added, changed, and in the way of mounting', async () => {
    await create(room, 'exported', { size: '1Gi', mounted: false });
    expect((await patchSpec(room, 'exported', { export: { file: 'one' } })).status).toBe(200);
    expect((await patchSpec(room, 'exported', { export: { file: 'two' } })).status).toBe(200);
    expect((await patchSpec(room, 'exported', { mounted: true })).status).toBe(422);
    expect((await patchSpec(room, 'exported', { mounted: true, export: null })).status).toBe(200);
  });
});
