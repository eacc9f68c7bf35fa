import { pathStreams, throughStreams } from './hostile-paths.ts';
import { damaged, type HostileStream, hostile } from './hostile-stream.ts';
import {
  attribute,
  command,
  end,
  FOREIGN_UUID,
  full,
  full2,
  increment,
  PARENT_UUID,
  rawAttribute,
  rawCommand,
  snapshot,
  streamOf,
  subvol,
  type Values,
} from './send-stream.ts';

const mkfile = (path: string) => command('mkfile', { path });
const mkdir = (path: string) => command('mkdir', { path });
const chmod = (path: string, mode: number | bigint) => command('chmod', { path, mode });
const clone = (values: Values) => command('clone', values);
const encoded = (values: Values) => full2(mkfile('file'), command('encoded_write', values, 2));

const wrongCrc = (): Buffer => {
  const bytes = full(mkfile('a'));
  // The code of the attribute ino: a byte that a rule sees.
  bytes[bytes.length - 22] = (bytes.at(-22) ?? 0) ^ 1;
  return bytes;
};

const framing: readonly HostileStream[] = [
  hostile('has another magic', Buffer.from('btrfs-strean\0\x01\0\0\0', 'latin1'), 'no btrfs send stream'),
  hostile('is of version 0', streamOf(0, subvol(), end()), 'its version is 0'),
  hostile('is of version 3', streamOf(3, subvol(), end()), 'its version is 3'),
  damaged('is empty', Buffer.alloc(0), 'without an end marker'),
  damaged('ends in its header', streamOf(1).subarray(0, 9), 'without an end marker'),
  damaged('ends after its header', streamOf(1), 'without an end marker'),
  damaged('ends in a command', full().subarray(0, -11), 'without an end marker'),
  damaged('lacks its last byte', full(mkfile('a')).subarray(0, -1), 'without an end marker'),
  damaged('has no end marker', streamOf(1, subvol(), mkfile('a')), 'without an end marker'),
  damaged('has a changed byte that makes it invalid', wrongCrc(), 'its checksum is wrong'),
  hostile('has a byte after the end marker', Buffer.concat([full(), Buffer.alloc(1)]), 'data after the end marker'),
  hostile('has a second stream behind it', Buffer.concat([full(), full()]), 'data after the end marker'),
  hostile('has two end markers', full(end()), 'data after the end marker'),
  hostile('has a command of 4 GiB', full(Buffer.from('ffffffff0300aaaaaaaa', 'hex')), /4294967305 bytes.*65536/),
  hostile('of version 1 has a command above 64 KiB', full(rawCommand(15, Buffer.alloc(65527))), /65537 bytes.*65536/),
  hostile('of version 2 has a command above the limit', full2(rawCommand(15, Buffer.alloc(524_279))), /524289.*524288/),
  hostile('has an unknown command', full(rawCommand(26, Buffer.alloc(0))), 'the command 26 is unknown'),
  hostile('has the command 0', full(rawCommand(0, Buffer.alloc(0))), 'the command 0 is unknown'),
  hostile(
    'of version 1 has a command of version 2',
    full(mkfile('file'), command('fallocate')),
    'version 1 has no such',
  ),
  hostile(
    'has an unknown attribute',
    full(rawCommand(12, rawAttribute(32, Buffer.alloc(1)))),
    'attribute 32 is unknown',
  ),
  hostile(
    'has an attribute past the end',
    full(rawCommand(12, rawAttribute(15, Buffer.from('abc'), false, 4))),
    'goes past',
  ),
  hostile('has half an attribute', full(rawCommand(12, Buffer.from([15]))), 'goes past its end'),
  hostile('has an attribute without length', full(rawCommand(12, Buffer.from([15, 0, 1]))), 'path goes past its end'),
  hostile('lacks an attribute', full(rawCommand(3, attribute('path', 'a'))), 'lacks the attribute ino'),
  hostile(
    'has an attribute of another command',
    full(command('mkdir', { clone_path: 'a' })),
    'clone_path does not belong',
  ),
  hostile(
    'has two paths in one command, of which receive takes the last',
    full(rawCommand(12, Buffer.concat([attribute('path', 'a'), attribute('path', '../a')]))),
    'the attribute path twice',
  ),
  hostile('has a number of 4 bytes', full(command('mkdir', { ino: Buffer.alloc(4) })), 'has 4 bytes instead of 8'),
  hostile('has a UUID of 8 bytes', streamOf(1, subvol({ uuid: Buffer.alloc(8) })), 'has 8 bytes instead of 16'),
];

/** Names, as latin1, that a list of subvolumes would show as something else. */
export const unprintableNames = [
  'a\nID 5 gen 1 top level 5 path b',
  '\n',
  'a\r',
  'a\tb',
  '\x1b[2J',
  '\xff',
  '\xe2\x80\xae',
];

const subjects: readonly HostileStream[] = [
  hostile('makes a file before the subvolume', streamOf(1, mkfile('a')), 'comes before'),
  hostile('is an end marker only', streamOf(1, end()), 'comes before'),
  hostile('makes two subvolumes', full(subvol({ path: 'other' })), 'a second subvolume'),
  hostile('makes a snapshot after the subvolume', full(snapshot()), 'a second subvolume'),
  ...[...['..', '.', '', 'a/b', '/a', 'a/', '../a', 'a\0b', 'x'.repeat(256)], ...unprintableNames].flatMap((path) => [
    hostile(
      `calls the subvolume ${JSON.stringify(path.slice(0, 9))}`,
      streamOf(1, subvol({ path }), end()),
      'the name of',
    ),
    hostile(
      `calls the snapshot ${JSON.stringify(path.slice(0, 9))}`,
      streamOf(1, snapshot({ path }), end()),
      'the name of',
    ),
  ]),
  hostile('has no UUID', streamOf(1, subvol({ uuid: Buffer.alloc(16) }), end()), 'the UUID of the subvolume is zero'),
  hostile('has a generation of 2^63', streamOf(1, subvol({ ctransid: 2n ** 63n }), end()), 'in ctransid is too large'),
  hostile('has no data', full(mkfile('a'), command('update_extent', { path: 'a' })), 'btrfs send --no-data'),
];

/** As btrfs send makes them, with numbers that lie, and as nobody makes them: receive would unfold each by itself. */
const encodings: readonly (readonly [title: string, values: Values])[] = [
  ...['none', 'zlib', 'zstd', 'lzo 4K', 'lzo 8K', 'lzo 16K', 'lzo 32K', 'lzo 64K', 'unknown'].map(
    (name, compression) => [`encoded data, compression ${name}`, { compression }] as const,
  ),
  ['data that unfolds to more than an extent', { unencoded_len: 2n ** 40n }],
  ['data that takes more than it unfolds to', { unencoded_file_len: 8192 }],
  ['data that takes what lies behind the unfolded', { unencoded_offset: 2n ** 64n - 4096n }],
  ['data that unfolds to more than it says', { unencoded_len: 16, unencoded_file_len: 16, compression: 7 }],
  ['encrypted data', { encryption: 1 }],
];

export const encodedStreams: readonly HostileStream[] = encodings.map(([title, values]) =>
  hostile(`has ${title}`, encoded(values), 'with btrfs send without --compressed-data'),
);

const rights: readonly HostileStream[] = [
  hostile('makes a block device', full(command('mknod', { mode: 0o60600, rdev: 0x700 })), 'the device node "file"'),
  hostile('makes a character device', full(command('mknod', { mode: 0o20600, rdev: 0x103 })), 'the device node "file"'),
  hostile('makes a node that is no device', full(command('mknod', { mode: 0o100644 })), 'neither a character nor'),
  hostile('makes a block device 0:0', full(command('mknod', { mode: 0o60600, rdev: 0 })), 'the device node "file"'),
  hostile('makes a file setuid', full(mkfile('a'), chmod('a', 0o4755)), '"a" setuid'),
  hostile('makes a file that nobody may run setuid', full(mkfile('a'), chmod('a', 0o4644)), '"a" setuid'),
  hostile('makes a file setgid', full(mkfile('a'), chmod('a', 0o2755)), '"a" setuid or setgid'),
  hostile(
    'makes a file setgid that was a directory once',
    full(mkdir('a'), command('rmdir', { path: 'a' }), mkfile('a'), chmod('a', 0o2755)),
    '"a" setuid or setgid',
  ),
  hostile(
    'sets a mode of more than permissions',
    full(mkfile('a'), chmod('a', 2n ** 32n + 0o4755n)),
    'more than permissions',
  ),
  hostile(
    'gives capabilities',
    full(mkfile('file'), command('set_xattr', { xattr_name: 'security.capability' })),
    'capabilities to "file"',
  ),
  hostile(
    'hides the name of capabilities behind a NUL',
    full(command('set_xattr', { xattr_name: 'security.capability\0' })),
    'extended attribute is none',
  ),
  hostile(
    'removes an attribute without name',
    full(command('remove_xattr', { xattr_name: '' })),
    'extended attribute is none',
  ),
  hostile(
    'clones from another subvolume',
    full(mkfile('file'), clone({ clone_uuid: FOREIGN_UUID })),
    'neither its own nor its parent',
  ),
  hostile('in full clones from a parent', full(clone({ clone_uuid: PARENT_UUID })), 'neither its own nor its parent'),
  hostile('clones from the parent', increment(clone({ clone_uuid: PARENT_UUID })), 'is not allowed here'),
  hostile(
    'collapses a range',
    full2(mkfile('file'), command('fallocate', { fallocate_mode: 8 }, 2)),
    'the mode 8 of fallocate',
  ),
];

/** One stream or more for each rule: all of them must be refused with the limits that allow nothing. */
export const hostileStreams: readonly HostileStream[] = [
  ...framing,
  ...subjects,
  ...pathStreams,
  ...throughStreams,
  ...rights,
  ...encodedStreams,
];
