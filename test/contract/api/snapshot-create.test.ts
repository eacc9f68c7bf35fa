import { beforeAll, describe, expect, test } from 'vitest';
import { parseSnapshot } from '../../../src/api/snapshot.ts';
import { createRoom, type Room } from './objects.ts';
import { createSnapshot, snapshotManifest, snapshotsPath } from './snapshot-objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

const SHA = 'a'.repeat(64);
const ref = { snapshotRef: { name: 'base' } };
const url = 'https://example.com/base.btrfs';
const source = (parts: object) => ({ source: parts });
const exported = (...names: unknown[]) => ({ exports: names.map((name) => ({ name })) });
const ONE = 'spec.source: Invalid value: must have exactly one of volume, snapshotRef, stream, empty and adopt';
const adopt = { uid: '5d0a0b5e-1f5c-4a3a-9a39-0f1b2c3d4e5f' };
const PLAIN = 'must be a plain file name of letters, digits, ., - and _, beginning with a letter or digit';

describe('Snapshot: what can be refused at apply is refused in words', () => {
  const refused: readonly (readonly [what: string, spec: object, message: string])[] = [
    ['no volume', { volumeRef: null }, 'spec.volumeRef: Required value'],
    ['a volume without a name', { volumeRef: {} }, 'spec.volumeRef.name: Required value'],
    ['an empty name of a volume', { volumeRef: { name: '' } }, 'spec.volumeRef.name'],
    ['a name longer than names are', { volumeRef: { name: 'v'.repeat(254) } }, 'may not be more than 253 bytes'],
    ['a volume of another namespace', { volumeRef: { name: 'a', namespace: 'b' } }, 'spec.volumeRef.namespace'],
    ['no source at all', source({}), ONE],
    ['two sources', source({ ...ref, volume: {} }), ONE],
    ['a volume and nothing', source({ volume: {}, empty: {} }), ONE],
    ['all sources', { ...source({ ...ref, volume: {}, empty: {}, stream: { file: 'a' } }), access: 'ReadWrite' }, ONE],
    ['adoption beside another one', source({ ...ref, adopt }), ONE],
    ['adoption of a name', source({ adopt: { uid: 'base' } }), 'must be the uid of an orphan'],
    ['adoption of nothing', source({ adopt: {} }), 'spec.source.adopt.uid: Required value'],
    ['a source without a name', source({ snapshotRef: {} }), 'spec.source.snapshotRef.name: Required value'],
    ['an empty name of a source', source({ snapshotRef: { name: '' } }), 'spec.source.snapshotRef.name'],
    [
      'an empty ReadOnly one',
      { ...source({ empty: {} }), access: 'ReadOnly' },
      'spec.access: Invalid value: must be ReadWrite for an empty source; change it to ReadOnly when the content is there',
    ],
    ['an empty one with the default access', source({ empty: {} }), 'must be ReadWrite for an empty source'],
    [
      'another access',
      { access: 'readwrite' },
      'spec.access: Unsupported value: "readwrite": supported values: "ReadOnly", "ReadWrite"',
    ],
    [
      'another policy',
      { deletionPolicy: 'Keep' },
      'spec.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"',
    ],
    ['setuid', { owner: { mode: '4755' } }, 'setuid, setgid and sticky bits are refused; got 4755'],
    ['a negative uid', { owner: { uid: -1 } }, 'spec.owner.uid in body should be greater than or equal to 0'],
    ['a stream of nowhere', source({ stream: {} }), 'spec.source.stream: Invalid value: must have either url or file'],
    ['a stream of two places', source({ stream: { url, file: 'a', sha256: SHA } }), 'must have either url or file'],
    ['a URL without a digest', source({ stream: { url } }), 'must have sha256 with a url'],
    [
      'plain http',
      source({ stream: { url: 'http://example.com/a', sha256: SHA } }),
      'spec.source.stream.url: Invalid value: must begin with https://; got http://example.com/a',
    ],
    ['half a digest', source({ stream: { url, sha256: 'abc' } }), 'must be the 64 hexadecimal digits'],
    ['an export without a name', { exports: [{}] }, 'spec.exports[0].name: Required value'],
    ['the same export twice', exported('full', 'full'), 'spec.exports[1]: Duplicate value'],
    [
      '17 exports',
      exported(...Array.from({ length: 17 }, (_, index) => `e${index}`)),
      'spec.exports: Too many: 17: must have at most 16 items',
    ],
  ];

  test.each(refused)('Snapshot: %s is refused', async (_what, spec, message) => {
    const { status, body } = await createSnapshot(room, 'refused', spec);
    expect(status, JSON.stringify(body)).toBeGreaterThanOrEqual(400);
    expect([body.code < 500, body.message]).toEqual([true, expect.stringContaining(message)]);
  });

  const paths = ['../up', 'a/b', '/etc/passwd', '..', '.', '.hidden', '-rf', 'a b', 'a\nb', 'a\u0000b', ''];
  test.each(paths)('D18 Snapshot: %j is no name of a file, neither of an export nor of a stream', async (name) => {
    const asExport = await createSnapshot(room, 'refused', exported(name));
    const asStream = await createSnapshot(room, 'refused', source({ stream: { file: name } }));
    for (const { status, body } of [asExport, asStream])
      expect([status, body.message]).toEqual([422, expect.stringContaining(PLAIN)]);
  });

  const names = ['', '..', '../base', '/etc', 'a/b', '%2e%2e', 'base?x=y', 'Base', '-rf', 'a\nb', 'a\u0000b', 'a b'];
  test.each(names)('D18 Snapshot: %j is no name of an object, neither of a volume nor of a source', async (name) => {
    const asVolume = await createSnapshot(room, 'refused', { volumeRef: { name } });
    const asSource = await createSnapshot(room, 'refused', source({ snapshotRef: { name } }));
    const asParent = await createSnapshot(room, 'refused', { exports: [{ name: 'a', parentRef: { name } }] });
    const words = 'must be the name of an object, in lower case letters, digits, - and .';
    for (const { status, body } of [asVolume, asSource, asParent])
      expect([status, body.message]).toEqual([422, expect.stringContaining(words)]);
  });

  test('Snapshot: an unknown field is refused by kubectl apply', async () => {
    const stdin = JSON.stringify(snapshotManifest('unknown', { acces: 'ReadWrite' }));
    await expect(room.kubectl(['apply', '-f-'], { stdin })).rejects.toThrow('unknown field "spec.acces"');
  });
});

describe('Snapshot: defaults', () => {
  test('Snapshot: a volume is enough, the rest has defaults, the same as parseSnapshot has', async () => {
    const { status, body } = await createSnapshot(room, 'defaults');
    const expected = {
      volumeRef: { name: 'demo' },
      source: { volume: {} },
      access: 'ReadOnly',
      deletionPolicy: 'Delete',
    };
    expect([status, body.spec]).toEqual([201, expected]);
    const metadata = { name: 'x', uid: 'u', resourceVersion: '1' };
    expect(parseSnapshot({ metadata, spec: { volumeRef: { name: 'demo' } } }).spec).toEqual(expected);
  });

  test('Snapshot: a new object has observedGeneration -1 and Ready Unknown, so that nothing takes it for done', async () => {
    await createSnapshot(room, 'fresh');
    const { body } = await room.call(snapshotsPath(room, 'fresh'));
    expect(body.status).toEqual({
      observedGeneration: -1,
      conditions: [expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'Pending' })],
    });
  });

  const accepted: readonly (readonly [what: string, spec: object])[] = [
    ['an empty writable one', { ...source({ empty: {} }), access: 'ReadWrite' }],
    ['a child', source(ref)],
    [
      'a writable child with an owner',
      { ...source(ref), access: 'ReadWrite', owner: { uid: 7, gid: 8, mode: '0700' } },
    ],
    ['a stream of the node', source({ stream: { file: 'base.btrfs' } })],
    ['a stream of a URL', source({ stream: { url, sha256: SHA } })],
    ['16 exports', exported(...Array.from({ length: 16 }, (_, index) => `e${index}`))],
    ['an increment', { exports: [{ name: 'incr-1.0_a', parentRef: { name: 'base' } }] }],
    ['Retain', { deletionPolicy: 'Retain' }],
  ];

  test.each(accepted)('Snapshot: %s is accepted', async (_what, spec) => {
    const body = snapshotManifest('accepted', spec);
    const answer = await room.call(`${snapshotsPath(room)}?dryRun=All&fieldValidation=Strict`, {
      method: 'POST',
      body,
    });
    expect([answer.status, answer.body.spec]).toEqual([201, expect.objectContaining(spec)]);
  });

  test('Snapshot: of two objects with one name the API server takes one', async () => {
    const answers = await Promise.all([createSnapshot(room, 'twice'), createSnapshot(room, 'twice')]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
  });
});
