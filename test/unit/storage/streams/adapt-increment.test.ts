import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { adaptIncrement, copyOfParent } from '../../../../src/storage/streams/adapt-increment.ts';
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

const aliased = (stream: Buffer, next = () => stream.length, allowSetuid = false) =>
  buffer(
    Readable.from(chunksOf(stream, next)).pipe(
      adaptIncrement({ parent: { from: textOf(PARENT_UUID), to: textOf(ALIAS) }, allowSetuid }),
    ),
  );

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

describe('adaptIncrement', () => {
  it.each([1, 2] as const)(
    'adaptIncrement: replaces the parent of snapshot and clone in a stream of version %i, and nothing else',
    async (version) => {
      expect(await aliased(incrementOn(PARENT_UUID, version))).toEqual(incrementOn(ALIAS, version));
    },
  );

  it('adaptIncrement: does the same however the stream is cut', async () => {
    const stream = incrementOn(PARENT_UUID, 2);
    const expected = incrementOn(ALIAS, 2);
    for (let size = 1; size < 120; size++) expect(await aliased(stream, () => size)).toEqual(expected);
    for (let seed = 1; seed <= 50; seed++) {
      const random = randomOf(seed);
      expect(await aliased(stream, () => 1 + (random() % 90)), `seed ${seed}`).toEqual(expected);
    }
  });

  it('adaptIncrement: leaves a stream alone that names another parent, or none', async () => {
    const foreign = streamOf(1, snapshot({ clone_uuid: FOREIGN_UUID }), clone(FOREIGN_UUID), end());
    expect(await aliased(foreign)).toEqual(foreign);
  });

  it('adaptIncrement: lets receive find a checksum that is wrong, also where it names the parent', async () => {
    const stream = incrementOn(PARENT_UUID, 1);
    const at = stream.indexOf(clone(PARENT_UUID).subarray(0, 10), 200) + 14;
    stream[at] = (stream.at(at) ?? 0) ^ 1;
    const [first = Buffer.alloc(0)] = commandsOf(incrementOn(ALIAS, 1));
    const expected = Buffer.concat([stream.subarray(0, 17), first, stream.subarray(17 + first.length)]);
    const out = await aliased(stream);
    expect(out.subarray(at - 14, at + 40)).toEqual(expected.subarray(at - 14, at + 40));
  });

  it('adaptIncrement: passes on what is left of a stream that breaks off', async () => {
    const [whole, expected] = [incrementOn(PARENT_UUID, 1), incrementOn(ALIAS, 1)];
    for (const bytes of [0, 5, 17, 20, 26, 60, whole.length - 3]) {
      expect(await aliased(whole.subarray(0, bytes)), `${bytes} bytes`).toHaveLength(bytes);
    }
    expect((await aliased(whole.subarray(0, -3))).equals(expected.subarray(0, -3))).toBe(true);
  });
});

describe('adaptIncrement of modes', () => {
  const chmod = (path: string, mode: number) => command('chmod', { path, mode });
  it.each([
    ['setgid, and runs', 0o2755, 'a/.'],
    ['setuid', 0o4644, 'a/.'],
    ['both', 0o6755, 'a/.'],
    ['setgid, and no group may run it', 0o2745, 'a'],
    ['sticky', 0o1777, 'a'],
  ])('F25 adaptIncrement: what an increment makes %s (%o) it makes so as %s', async (_, mode, path) => {
    for (const version of [1, 2]) {
      const stream = (given: string) => streamOf(version, snapshot(), chmod('b', 0o755), chmod(given, mode), end());
      for (const size of [1, 7, 1000]) {
        const expected = stream(path);
        expect((await aliased(stream('a'), () => size)).subarray(150)).toEqual(expected.subarray(150));
        expect((await aliased(stream('a'), () => size, true)).subarray(150)).toEqual(stream('a').subarray(150));
      }
    }
  });

  it('F25 adaptIncrement: the subvolume itself stays as it is named', async () => {
    const stream = streamOf(1, snapshot({ clone_uuid: FOREIGN_UUID }), chmod('', 0o2775), end());
    expect(await aliased(stream)).toEqual(stream);
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
