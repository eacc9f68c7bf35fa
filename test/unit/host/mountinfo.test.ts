import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mountAt, optionValue, parseMountinfo, readMounts } from '../../../src/host/mountinfo.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { UID } from '../../builders/observations.ts';

const mounts = parseMountinfo(textFixture('mountinfo-6.18-volumes'));

describe('parseMountinfo', () => {
  it('reads a mounted volume', () => {
    expect(mountAt(mounts, `/srv/volumes/${UID}`)).toEqual({
      id: 165,
      parentId: 163,
      device: '0:39',
      root: '/.btrfs-operator',
      mountPoint: `/srv/volumes/${UID}`,
      options: ['rw', 'nosuid', 'nodev', 'noatime'],
      fsType: 'btrfs',
      source: '/dev/loop1',
      superOptions: [
        'rw',
        'compress=zstd:3',
        'discard=async',
        'space_cache=v2',
        'subvolid=256',
        'subvol=/.btrfs-operator',
      ],
    });
  });

  it.each([
    ['a space', '/srv/with space', 'a b'],
    ['a tab', '/srv/tab\there', 'x'],
    ['backslashes', '/srv/back\\\\slash', 'x'],
    ['the separator', '/srv/shared/ - ', 'dash'],
    ['optional fields', '/srv/shared', 'shared'],
    ['an empty source', '/srv/nameless', ''],
    ['a hostile name of a subvolume', '/srv/dash', '/dev/loop1'],
  ])('reads %s', (_, mountPoint, source) => expect(mountAt(mounts, mountPoint)).toMatchObject({ mountPoint, source }));

  it('reads every line of the running kernel', async () => {
    const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
    const read = await readMounts();
    expect(read.length).toBeGreaterThan(lines.length / 2);
    expect(mountAt(read, '/proc')?.fsType).toBe('proc');
  });

  it.each([
    ['an empty table', '', 0],
    ['several optional fields', '36 35 98:0 / /mnt rw shared:1 master:2 propagate_from:3 - ext3 /dev/root rw\n', 1],
  ])('reads %s', (_, text, count) => expect(parseMountinfo(text)).toHaveLength(count));

  it.each([
    ['a line without its second half', '36 35 98:0 / /mnt rw shared:1'],
    ['a line that was cut', '36 35 98:0 / /mnt rw - ext3'],
    ['an id that is no number', 'x 35 98:0 / /mnt rw - ext3 /dev/root rw'],
    ['a device that is none', '36 35 98 / /mnt rw - ext3 /dev/root rw'],
    ['/proc/mounts', 'proc /proc proc rw,nosuid 0 0'],
  ])('throws on %s: a mount must not be taken for absent', (_, line) => {
    expect(() => parseMountinfo(`${line}\n`)).toThrow(UnexpectedOutputError);
  });
});

describe('mountAt', () => {
  it('of several at one place, gives the one that is seen', () => {
    expect(mountAt(mounts, '/srv/twice')?.source).toBe('second');
  });

  it('gives nothing for what is merely below a mount, or written otherwise', () => {
    expect(mountAt(mounts, '/srv/twice/below')).toBeUndefined();
    expect(mountAt(mounts, '/srv/twice/')).toBeUndefined();
  });
});

describe('optionValue', () => {
  const options = ['rw', 'compress=zstd:3', 'subvolid=256', 'subvol=/a', 'subvolid=5', 'empty='];
  it.each([
    ['rw', ''],
    ['compress', 'zstd:3'],
    ['empty', ''],
    ['subvolid', '256'],
    ['subvol', '/a'],
    ['sub', undefined],
    ['compress=zstd', undefined],
  ])('%s: %s', (name, value) => expect(optionValue(options, name)).toBe(value));
});
