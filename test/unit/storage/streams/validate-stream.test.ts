import { describe, expect, it } from 'vitest';
import { crc32c } from '../../../../src/storage/streams/crc32c.ts';
import { randomOf } from '../../../builders/random.ts';
import {
  command,
  end,
  full,
  full2,
  increment,
  PARENT_UUID,
  snapshot,
  streamOf,
  subvol,
} from '../../../builders/send-stream.ts';
import { validate } from '../../../builders/validate.ts';

const mkfile = (path: string) => command('mkfile', { path });
const mkdir = (path: string) => command('mkdir', { path });
const symlink = (path: string) => command('symlink', { path, path_link: '../../../etc/shadow' });
const rename = (path: string, to: string) => command('rename', { path, path_to: to });
const chmod = (path: string, mode: number) => command('chmod', { path, mode });

/** Valid streams, with what a careless rule would refuse. */
const valid: Readonly<Record<string, Buffer>> = {
  'nothing in it': full(),
  'another version': full2(mkfile('a'), command('write', { path: 'a' }, 2)),
  'data of length zero': full2(mkfile('a'), command('write', { path: 'a', data: '' }, 2)),
  'a name of 255 bytes that are no UTF-8': full(mkdir('\xff'.repeat(255)), mkfile(`${'\xff'.repeat(255)}/..a`)),
  'names with dots, line breaks and backslashes': full(mkdir('...'), mkfile('.../a\n\\'), mkfile('..b')),
  'the subvolume itself given an owner, mode and times': full(
    command('chown', { path: '' }),
    chmod('', 0o2755),
    command('utimes', { path: '' }),
    command('set_xattr', { path: '' }),
  ),
  'a symlink that leads outside': full(symlink('s'), command('chown', { path: 's' }), command('utimes', { path: 's' })),
  'a symlink that goes, and a directory in its place': full(
    symlink('s'),
    command('unlink', { path: 's' }),
    mkdir('s'),
    mkfile('s/a'),
  ),
  'a symlink that is renamed, and a directory in its place': full(
    symlink('s'),
    rename('s', 't'),
    mkdir('s'),
    mkfile('s/a'),
  ),
  'a directory that is moved with what is in it': full(
    mkdir('a'),
    mkdir('a/b'),
    mkdir('c'),
    rename('a', 'c/d'),
    mkfile('c/d/b/e'),
  ),
  'hard links of files, symlinks and fifos': full(
    mkfile('a'),
    command('link', { path: 'b', path_link: 'a' }),
    symlink('s'),
    command('link', { path: 't', path_link: 's' }),
    command('mkfifo', { path: 'f' }),
    command('link', { path: 'g', path_link: 'f' }),
  ),
  'sockets and fifos with a mode and times': full(
    command('mksock', { path: 's', mode: 0o140755, rdev: 0 }),
    chmod('s', 0o755),
    command('mkfifo', { path: 'f', mode: 0o010644, rdev: 0 }),
    command('utimes', { path: 'f', otime: Buffer.alloc(12) }),
  ),
  'a setgid directory, a sticky one and a setgid bit taken away': full(
    mkdir('d'),
    chmod('d', 0o2775),
    chmod('d', 0o1777),
    mkfile('f'),
    chmod('f', 0o755),
  ),
  'whiteouts of overlayfs': full(
    command('mknod', { path: 'o257-7-0', mode: 0o20000, rdev: 0 }),
    rename('o257-7-0', 'deleted'),
    command('mknod', { path: 'other', mode: 0o20644, rdev: 0 }),
  ),
  'modes that give nobody rights': full(
    mkdir('d'),
    chmod('d', 0o6775),
    mkfile('f'),
    chmod('f', 0o2744),
    command('mksock', { path: 's' }),
    chmod('s', 0o2775),
  ),
  'modes of what the parent had, which receive looks at': increment(chmod('d', 0o2775)),
  'a clone from its own file': full(mkfile('source'), mkfile('file'), command('clone')),
  'paths through what the parent had': increment(
    mkfile('old/a'),
    symlink('old/s'),
    rename('old', 'new'),
    mkfile('new/b'),
  ),
  'a parent directory that is made again': increment(
    symlink('d/s'),
    rename('d', 'o257-7-0'),
    mkdir('d'),
    mkfile('d/a'),
  ),
  'attributes in another order, as in no kernel': full2(
    mkfile('a'),
    command('fallocate', { path: 'a' }, 2),
    command('fileattr', { path: 'a', fileattr: 1 }, 2),
  ),
};

describe('createStreamValidator', () => {
  it.each(Object.entries(valid))(
    'createStreamValidator: passes %s, byte for byte, in any chunks',
    async (_, stream) => {
      const random = randomOf(1);
      for (const next of [() => stream.length, () => 1, () => random() * 60]) {
        const { error, output } = await validate(stream, { next });
        expect(error).toBeUndefined();
        expect(output.equals(stream)).toBe(true);
      }
    },
  );

  it('createStreamValidator: sums up a full stream', async () => {
    const stream = streamOf(2, subvol({ path: 'base', ctransid: 41 }), end());
    expect((await validate(stream)).summary).toEqual({
      kind: 'full',
      name: 'base',
      uuid: '0b7ea0c1-d2e3-f405-1627-38495a6b7c8d',
      ctransid: 41,
      version: 2,
      bytes: stream.length,
    });
  });

  it('createStreamValidator: sums up an increment', async () => {
    const stream = increment();
    expect((await validate(stream)).summary).toMatchObject({
      kind: 'incremental',
      parentUuid: 'aaaaaaaa-bbbb-4ccc-addd-111111111111',
      parentCtransid: 7,
      bytes: stream.length,
    });
  });

  it('createStreamValidator: knows nothing before the first command', async () => {
    expect((await validate(full().subarray(0, 20))).summary).toBeUndefined();
  });

  it('createStreamValidator: keeps the last byte until the input has ended', async () => {
    const { error, output } = await validate(Buffer.concat([full(), full()]), { next: () => full().length });
    expect(error?.message).toContain('data after the end marker');
    expect(output.equals(full().subarray(0, -1))).toBe(true);
  });

  it('createStreamValidator: ends with its signal', async () => {
    const { error } = await validate(full(), { signal: AbortSignal.abort(new Error('too slow')) });
    expect(error).toMatchObject({ name: 'AbortError', cause: new Error('too slow') });
  });
});

describe('limits', () => {
  const device = full(command('mknod', { mode: 0o60600 }));
  const setuid = full(
    mkfile('a'),
    chmod('a', 0o6755),
    command('set_xattr', { path: 'a', xattr_name: 'security.capability' }),
  );
  const parentClone = increment(command('clone', { clone_uuid: PARENT_UUID }));
  const many = full(...Array.from({ length: 100 }, (_, index) => mkdir(`d${index}`)));
  const passing = full(
    ...Array.from({ length: 100 }, (_, index) => [mkdir(`d${index}`), command('rmdir', { path: `d${index}` })]).flat(),
  );

  it.each([
    ['device nodes', device, { allowDeviceNodes: true }],
    ['setuid, setgid and capabilities', setuid, { allowSetuid: true }],
    ['clones from the parent', parentClone, { allowParentClones: true }],
    ['a stream of just the length', full(), { maxBytes: full().length }],
    ['a known parent', increment(), { parentUuids: ['aaaaaaaa-bbbb-4ccc-addd-111111111111'] }],
    ['full streams where no parent is known', full(), { parentUuids: [] }],
    ['names that come and go in little memory', passing, { maxNamesBytes: 1000 }],
  ])('StreamLimits: allow %s', async (_, stream, limits) => {
    expect((await validate(stream, { limits })).error).toBeUndefined();
  });

  it.each([
    ['a byte too many', full(), { maxBytes: full().length - 1 }, `it is longer than ${full().length - 1} bytes`],
    ['another parent', increment(), { parentUuids: ['b'] }, 'an increment on the subvolume aaaaaaaa-bbbb'],
    ['any parent', increment(), { parentUuids: [] }, 'is not what it may build on'],
    ['a longer command', full2(mkfile('a'.repeat(200))), { maxCommandBytes: 200 }, '200 is the most that is taken'],
    ['too many names', many, { maxNamesBytes: 800 }, 'than 800 bytes of memory hold'],
    [
      'one more symlink below names of the parent',
      streamOf(1, snapshot(), ...Array.from({ length: 20 }, (_, index) => symlink(`${index}/b/c/d`))),
      { maxNamesBytes: 900 },
      'than 900 bytes of memory hold',
    ],
  ])('StreamLimits: refuse %s', async (_, stream, limits, says) => {
    expect((await validate(stream, { limits })).error?.message).toContain(says);
  });
});

describe('crc32c', () => {
  it('crc32c: is that of RFC 3720, B.4, with its inversions', () => {
    const inverted = (crc: number) => ~crc >>> 0;
    expect(inverted(crc32c(0xffffffff, Buffer.alloc(32)))).toBe(0x8a9136aa);
    expect(inverted(crc32c(0xffffffff, Buffer.alloc(32, 0xff)))).toBe(0x62a8ab43);
  });
});
