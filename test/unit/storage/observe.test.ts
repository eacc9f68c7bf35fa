import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mountAt, parseMountinfo } from '../../../src/host/mountinfo.ts';
import { isTreeMount } from '../../../src/storage/tree-mount.ts';
import { majorMinor } from '../../../src/storage/volumes/observe.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { mountOf, recordOf, UID } from '../../builders/observations.ts';

describe('majorMinor', () => {
  it.each([
    ['a small one', 0x801, '8:1'],
    ['a virtual disk', 65024, '254:0'],
    ['an anonymous device', 40, '0:40'],
    ['a major above 255', 0x10305, '259:5'],
    ['a minor above 255', 0x10000801, '8:65537'],
    ['the largest of old kernels', 0xfffff, '4095:255'],
    ['both in their high parts', 2 ** 44 + 2 ** 20, '4096:256'],
  ])('A9 majorMinor: %s', (_, device, expected) => expect(majorMinor(device)).toBe(expected));

  it.each(['/', '/proc', '/dev', '/sys'])('A9 majorMinor: %s is what stat(1) says', (path) => {
    const printed = execFileSync('stat', ['--format=%Hd:%Ld', '--', path], { encoding: 'utf8' }).trim();
    expect(majorMinor(statSync(path).dev)).toBe(printed);
  });
});

describe('isTreeMount', () => {
  const record = recordOf();
  const live = ['loop7'];

  it('A6 the tree of the recorded filesystem, from a device of it', () => {
    expect(isTreeMount(mountOf(), record, live)).toBe(true);
  });

  it.each([
    ['there is no record', mountOf(), undefined, live],
    ['the record knows no tree', mountOf(), recordOf({ tree: undefined }), live],
    ['A6 it is ext4', mountOf({ fsType: 'ext4' }), record, live],
    ['it is the top of the filesystem', mountOf({ superOptions: ['rw', 'subvolid=5', 'subvol=/'] }), record, live],
    ['it is a subvolume whose id only begins so', mountOf({ superOptions: ['subvolid=2560'] }), record, live],
    ['it has no subvolume', mountOf({ superOptions: ['rw'] }), record, live],
    ['it is a copy on another device', mountOf({ source: '/dev/loop8' }), record, live],
    ['no filesystem with the recorded UUID is live', mountOf(), record, undefined],
    ['the live one has lost its devices', mountOf(), record, []],
  ])('is nothing else: %s', (_, mount, known, devices) => expect(isTreeMount(mount, known, devices)).toBe(false));

  it('reads what the kernel says', () => {
    const mounts = parseMountinfo(textFixture('mountinfo-6.18-volumes'));
    const [tree, hostile] = [mountAt(mounts, `/srv/volumes/${UID}`), mountAt(mounts, '/srv/dash')];
    expect(tree && isTreeMount(tree, record, ['loop1'])).toBe(true);
    // A subvolume of the name `a,subvolid=256,ro`.
    expect(hostile && isTreeMount(hostile, record, ['loop1'])).toBe(false);
  });
});
