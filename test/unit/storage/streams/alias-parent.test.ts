import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { aliasParent, copyOfParent } from '../../../../src/storage/streams/alias-parent.ts';
import { chunksOf } from '../../../builders/chunks.ts';
import { randomOf } from '../../../builders/random.ts';
import {
  command,
  commandsOf,
  end,
  FOREIGN_UUID,
  PARENT_UUID,
  snapshot,
  streamOf,
  UUID,
} from '../../../builders/send-stream.ts';
import { validate } from '../../../builders/validate.ts';

const ALIAS = Buffer.from('cccccccc000040008000333333333333', 'hex');
const textOf = (uuid: Buffer) => uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

const aliased = (stream: Buffer, next = () => stream.length) =>
  buffer(Readable.from(chunksOf(stream, next)).pipe(aliasParent(textOf(PARENT_UUID), textOf(ALIAS))));

const clone = (uuid: Buffer) => command('clone', { path: 'file', clone_uuid: uuid, clone_path: 'file' });
/** An increment that names `parent` in every place that does, with data that looks like it as well. */
const incrementOn = (parent: Buffer, version: 1 | 2) =>
  streamOf(
    version,
    snapshot({ clone_uuid: parent }),
    command('mkfile', { path: 'file' }),
    command('write', { path: 'file', data: Buffer.concat([PARENT_UUID, clone(PARENT_UUID)]) }, version),
    clone(parent),
    clone(UUID),
    command('set_xattr', { path: 'file', xattr_name: 'user.uuid', xattr_data: PARENT_UUID }),
    clone(parent),
    end(),
  );

describe('aliasParent', () => {
  it.each([1, 2] as const)(
    'aliasParent: replaces the parent of snapshot and clone in a stream of version %i, and nothing else',
    async (version) => {
      expect(await aliased(incrementOn(PARENT_UUID, version))).toEqual(incrementOn(ALIAS, version));
    },
  );

  it('aliasParent: does the same however the stream is cut', async () => {
    const stream = incrementOn(PARENT_UUID, 2);
    const expected = incrementOn(ALIAS, 2);
    for (let size = 1; size < 120; size++) expect(await aliased(stream, () => size)).toEqual(expected);
    for (let seed = 1; seed <= 50; seed++) {
      const random = randomOf(seed);
      expect(await aliased(stream, () => 1 + (random() % 90)), `seed ${seed}`).toEqual(expected);
    }
  });

  it('aliasParent: leaves a stream alone that names another parent, or none', async () => {
    const foreign = streamOf(1, snapshot({ clone_uuid: FOREIGN_UUID }), clone(FOREIGN_UUID), end());
    expect(await aliased(foreign)).toEqual(foreign);
  });

  it('aliasParent: lets receive find a checksum that is wrong, also where it names the parent', async () => {
    const stream = incrementOn(PARENT_UUID, 1);
    const at = stream.indexOf(clone(PARENT_UUID).subarray(0, 10), 200) + 14;
    stream[at] = (stream.at(at) ?? 0) ^ 1;
    const [first = Buffer.alloc(0)] = commandsOf(incrementOn(ALIAS, 1));
    const expected = Buffer.concat([stream.subarray(0, 17), first, stream.subarray(17 + first.length)]);
    const out = await aliased(stream);
    expect(out.subarray(at - 14, at + 40)).toEqual(expected.subarray(at - 14, at + 40));
  });

  it('aliasParent: passes on what is left of a stream that breaks off', async () => {
    const [whole, expected] = [incrementOn(PARENT_UUID, 1), incrementOn(ALIAS, 1)];
    for (const bytes of [0, 5, 17, 20, 26, 60, whole.length - 3]) {
      expect(await aliased(whole.subarray(0, bytes)), `${bytes} bytes`).toHaveLength(bytes);
    }
    expect((await aliased(whole.subarray(0, -3))).equals(expected.subarray(0, -3))).toBe(true);
  });
});

describe('copyOfParent', () => {
  it('copyOfParent: is a whole stream without content, on the parent', async () => {
    const { error, summary } = await validate(copyOfParent('.parent', textOf(ALIAS), textOf(PARENT_UUID)));
    expect(error).toBeUndefined();
    expect(summary).toMatchObject({
      kind: 'incremental',
      name: '.parent',
      uuid: textOf(ALIAS),
      parentUuid: textOf(PARENT_UUID),
    });
  });
});
