import { beforeAll, describe, expect, test } from 'vitest';
import { parseQuantity } from '../../../src/api/quantity.ts';
import { create, createRoom, type Room, volumeManifest, volumesPath } from './objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

const label = (text: string) => ({ size: '1Gi', label: text });
const mode = (text: unknown) => ({ size: '1Gi', owner: { mode: text } });
const compression = (text: string) => ({ size: '1Gi', compression: text });
const COMPRESSIONS = 'must be none, lzo, zlib, zlib:1 to zlib:9, zstd, or zstd:1 to zstd:19; got';

describe('A1 LoopbackVolume: a size that cannot be is refused with limit and value', () => {
  test.each([
    ['64Mi', 'spec.size: Invalid value: "64Mi": must be 109Mi or more; got 64Mi'],
    [114294783, 'spec.size: Invalid value: 114294783: must be 109Mi or more; got 114294783'],
    ['114294783999m', 'must be 109Mi or more; got 114294783999m'],
    ['0', 'must be 109Mi or more; got 0'],
    ['-1Gi', 'must be 109Mi or more; got -1Gi'],
    ['16.1Ti', 'must be 16Ti or less; got 16.1Ti'],
    ['17592186044416001m', 'must be 16Ti or less; got 17592186044416001m'],
    ['1e1000', 'must be 16Ti or less; got 1e1000'],
    ['big', 'spec.size: Invalid value: "big": must be a quantity such as 500Mi, 1.5Gi or 1073741824; got big'],
    ['1GB', 'must be a quantity such as 500Mi, 1.5Gi or 1073741824; got 1GB'],
    ['', 'must be a quantity such as 500Mi, 1.5Gi or 1073741824; got'],
    [1.5, 'spec.size in body must be of type integer,string: "number"'],
    [true, 'spec.size in body must be of type integer,string: "boolean"'],
    [null, 'spec.size: Required value'],
    ['0'.repeat(33), 'spec.size: Too long: may not be more than 32 bytes'],
  ])('A1 LoopbackVolume: size %s is refused', async (size, message) => {
    const { status, body } = await create(room, 'refused', { size });
    expect([status, body.message]).toEqual([422, expect.stringContaining(message)]);
  });

  test.each(['109Mi', 114294784, '16Ti', 17592186044416, '1.5Gi', '1e9', '500M', '200000000500m'])(
    'A1 LoopbackVolume: size %s is accepted, stays as written and can be read by parseQuantity',
    async (size) => {
      const { status, body } = await room.call(`${volumesPath(room)}?dryRun=All`, {
        method: 'POST',
        body: volumeManifest('accepted', { size }),
      });
      expect([status, body.spec.size]).toEqual([201, size]);
      expect(parseQuantity(size)).toBeGreaterThanOrEqual(parseQuantity('109Mi'));
    },
  );
});

describe('LoopbackVolume: what can be refused at apply is refused in words', () => {
  test.each([
    [
      'both wishes',
      { size: '1Gi', nodeName: 'a', nodeSelector: { disk: 'ssd' } },
      'spec: Invalid value: has both nodeName (a) and nodeSelector; keep one of them',
    ],
    [
      'an odd node name',
      { size: '1Gi', nodeName: 'Node_A' },
      'spec.nodeName: Invalid value: "Node_A": must be the name of a Node, in lower case letters, digits, - and .; got Node_A',
    ],
    ['an empty node name', { size: '1Gi', nodeName: '' }, 'must be the name of a Node'],
    [
      'an odd label key',
      { size: '1Gi', nodeSelector: { 'a b': 'c' } },
      'spec.nodeSelector: Invalid value: must have label keys such as disk',
    ],
    [
      'an odd label value',
      { size: '1Gi', nodeSelector: { a: 'c d' } },
      'spec.nodeSelector: Invalid value: must have label keys such as disk',
    ],
    ['a label of 256 bytes in 128 characters', label('é'.repeat(128)), 'spec.label: Invalid value: "é'],
    [
      'a label of 256 bytes in 128 characters, in words',
      label('é'.repeat(128)),
      'must be 255 bytes or shorter in UTF-8; shorten é',
    ],
    ['a label of 256 characters', label('e'.repeat(256)), 'spec.label: Too long: may not be more than 255 bytes'],
    [
      'a newline in label',
      label('a\nb'),
      'spec.label: Invalid value: "a\\nb": must be one line without control characters',
    ],
    ['a control character in label', label('a\u0085b'), 'must be one line without control characters'],
    ['NUL in label', label('a\u0000b'), 'must be one line without control characters'],
    ['a number as mode', mode(493), 'spec.owner.mode in body must be of type string: "integer"'],
    [
      'setuid',
      mode('4755'),
      'spec.owner.mode: Invalid value: "4755": must be three octal digits in quotes such as "0755"; setuid, setgid and sticky bits are refused; got 4755',
    ],
    ['setgid', mode('02755'), 'setuid, setgid and sticky bits are refused; got 02755'],
    ['a mode in letters', mode('rwxr-xr-x'), 'must be three octal digits in quotes such as "0755"'],
    [
      'a negative uid',
      { size: '1Gi', owner: { uid: -1 } },
      'spec.owner.uid: Invalid value: -1: spec.owner.uid in body should be greater than or equal to 0',
    ],
    [
      'the uid of nobody at all',
      { size: '1Gi', owner: { uid: 4294967295 } },
      'spec.owner.uid in body should be less than or equal to 4294967294',
    ],
    [
      'a gid too large',
      { size: '1Gi', owner: { gid: 4294967295 } },
      'spec.owner.gid in body should be less than or equal to 4294967294',
    ],
    ['zstd:20', compression('zstd:20'), `spec.compression: Invalid value: "zstd:20": ${COMPRESSIONS} zstd:20`],
    ['zstd:0', compression('zstd:0'), `${COMPRESSIONS} zstd:0`],
    ['zlib:10', compression('zlib:10'), `${COMPRESSIONS} zlib:10`],
    ['lzo:1', compression('lzo:1'), `${COMPRESSIONS} lzo:1`],
    ['a mount option in compression', compression('zstd,exec'), `${COMPRESSIONS} zstd,exec`],
    [
      'another profile',
      { size: '1Gi', metadataProfile: 'raid1' },
      'spec.metadataProfile: Unsupported value: "raid1": supported values: "single", "dup"',
    ],
    [
      'another discard',
      { size: '1Gi', discard: 'async' },
      'spec.discard: Unsupported value: "async": supported values: "Async", "Sync", "Off"',
    ],
    [
      'another durability',
      { size: '1Gi', durability: 'None' },
      'spec.durability: Unsupported value: "None": supported values: "Full", "Disposable"',
    ],
    [
      'another policy',
      { size: '1Gi', deletionPolicy: 'Keep' },
      'spec.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Retain"',
    ],
    ['text as mounted', { size: '1Gi', mounted: 'yes' }, 'spec.mounted in body must be of type boolean: "string"'],
    [
      'negative headroom',
      { size: '1Gi', minimize: { headroom: '-1Mi' } },
      'spec.minimize.headroom: Invalid value: "-1Mi": must be 0 or more; got -1Mi',
    ],
    [
      'odd headroom',
      { size: '1Gi', minimize: { headroom: 'some' } },
      'spec.minimize.headroom: Invalid value: "some": must be a quantity such as 500Mi',
    ],
    ['headroom too large', { size: '1Gi', minimize: { headroom: '17Ti' } }, 'must be 16Ti or less; got 17Ti'],
  ])('LoopbackVolume: %s is refused', async (_what, spec, message) => {
    const { status, body } = await create(room, 'refused', spec);
    expect([status, body.message]).toEqual([422, expect.stringContaining(message)]);
  });

  const accepted: [string, Record<string, unknown>][] = [
    ['a node and an empty selector', { nodeName: 'a', nodeSelector: {} }],
    ['a selector with a prefix', { nodeSelector: { 'example.com/disk': 'ssd', empty: '' } }],
    ['255 bytes of label', { label: `${'é'.repeat(127)}e` }],
    ['a label with spaces and dashes', { label: '-- my build / 1' }],
    ['three digits of mode and the largest ids', { owner: { mode: '700', uid: 4294967294, gid: 4294967294 } }],
    ['no headroom', { minimize: { headroom: 0 } }],
    ['"Off"', { discard: 'Off' }],
  ];
  for (const word of ['none', 'lzo', 'zlib', 'zlib:9', 'zstd', 'zstd:1', 'zstd:19']) {
    accepted.push([`compression ${word}`, { compression: word }]);
  }

  test.each(accepted)('LoopbackVolume: %s is accepted', async (_what, spec) => {
    const { status, body } = await room.call(`${volumesPath(room)}?dryRun=All&fieldValidation=Strict`, {
      method: 'POST',
      body: volumeManifest('accepted', { size: '1Gi', ...spec }),
    });
    expect([status, body.spec]).toEqual([201, expect.objectContaining(spec)]);
  });

  test('LoopbackVolume: an unknown field is refused by kubectl apply, and pruned for clients that do not ask', async () => {
    const manifest = JSON.stringify(volumeManifest('unknown', { size: '1Gi', sise: '2Gi' }));
    await expect(room.kubectl(['apply', '-f-'], { stdin: manifest })).rejects.toThrow('unknown field "spec.sise"');
    const { status, body } = await room.call(`${volumesPath(room)}?dryRun=All`, { method: 'POST', body: manifest });
    expect([status, body.spec.sise]).toEqual([201, undefined]);
  });

  test.each([
    ['mode: 0755', '{owner: {mode: 0755}, size: 1Gi}', 'spec.owner.mode in body must be of type string: "integer"'],
    ['discard: Off', '{discard: Off, size: 1Gi}', 'spec.discard in body must be of type string: "boolean"'],
  ])('LoopbackVolume: the YAML trap %s is refused, never read as something else', async (_what, spec, message) => {
    const manifest = `{apiVersion: btrfs-operator.io/v1alpha1, kind: LoopbackVolume, metadata: {name: trap}, spec: ${spec}}`;
    await expect(room.kubectl(['apply', '-f-'], { stdin: manifest })).rejects.toThrow(message);
  });
});
