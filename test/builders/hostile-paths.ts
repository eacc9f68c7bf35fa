import type { CommandName } from '../../src/storage/streams/stream-format.ts';
import { type HostileStream, hostile } from './hostile-stream.ts';
import { command, full, full2, increment, type Values } from './send-stream.ts';

const mkfile = (path: string) => command('mkfile', { path });
const mkdir = (path: string) => command('mkdir', { path });
const symlink = (path: string, target = '/etc') => command('symlink', { path, path_link: target });
const rename = (path: string, to: string) => command('rename', { path, path_to: to });
const write = (path: string) => command('write', { path });
const chmod = (path: string, mode: number) => command('chmod', { path, mode });
const clone = (values: Values) => command('clone', values);

/** Every place that a path can stand in, with what is wrong with paths. */
const pathPlaces: readonly (readonly [CommandName, Values | ((path: string) => Values)])[] = [
  ...(
    [
      'mkfile',
      'mkdir',
      'mkfifo',
      'mksock',
      'symlink',
      'rename',
      'link',
      'unlink',
      'rmdir',
      'set_xattr',
      'remove_xattr',
    ] as const
  ).map((name) => [name, (path: string) => ({ path })] as const),
  ...(['write', 'truncate', 'chmod', 'chown', 'utimes', 'clone'] as const).map(
    (name) => [name, (path: string) => ({ path })] as const,
  ),
  ['rename', (path) => ({ path_to: path })],
  ['link', (path) => ({ path_link: path })],
  ['clone', (path) => ({ clone_path: path })],
];

const badPaths: readonly (readonly [path: string, says: string])[] = [
  ['/etc/passwd', 'is absolute'],
  ['../sibling', 'has ".." in it'],
  ['a/../../b', 'has ".." in it'],
  ['a/..', 'has ".." in it'],
  ['./a', 'has "." in it'],
  ['a//b', 'an empty name'],
  ['a/', 'an empty name'],
  ['a\0/../../b', 'a NUL'],
  ['x'.repeat(256), 'more than 255 bytes'],
  ['a/'.repeat(2048), 'longer than 4095 bytes'],
];

/** Paths that are none. */
export const pathStreams: readonly HostileStream[] = [
  ...pathPlaces.flatMap(([name, values]) =>
    badPaths.map(([path, says]) => {
      const given = typeof values === 'function' ? values(path) : values;
      const place = Object.keys(given).join();
      return hostile(
        `has ${JSON.stringify(path.slice(0, 12))} as ${place} of ${name}`,
        increment(command(name, given)),
        says,
      );
    }),
  ),
  ...(['fallocate', 'fileattr'] as const).map((name) =>
    hostile(`has ".." in the path of ${name}`, full2(command(name, { path: '../a' }, 2)), 'has ".." in it'),
  ),
];

/** Paths that go where they may not, by what the stream made before. */
export const throughStreams: readonly HostileStream[] = [
  hostile(
    'goes through a symlink that it made',
    increment(symlink('s'), mkfile('s/passwd')),
    /"s\/passwd".*through "s"/,
  ),
  hostile(
    'goes through a renamed symlink',
    increment(symlink('s'), rename('s', 't'), write('t/a')),
    'goes through "t"',
  ),
  hostile(
    'goes through a hard link of a symlink',
    increment(symlink('s'), command('link', { path: 't', path_link: 's' }), write('t/a')),
    'goes through "t"',
  ),
  hostile(
    'goes through a symlink in a moved directory',
    increment(symlink('d/s'), rename('d', 'e'), mkfile('e/s/a')),
    'goes through "e/s"',
  ),
  hostile(
    'moves a symlink into a directory and goes through it',
    increment(mkdir('d'), symlink('s'), rename('s', 'd/s'), mkdir('d/s/a')),
    'goes through "d/s"',
  ),
  hostile(
    'renames to a path through a symlink',
    increment(symlink('s'), mkfile('a'), rename('a', 's/a')),
    'goes through "s"',
  ),
  hostile(
    'clones from a path through a symlink',
    increment(symlink('s'), clone({ clone_path: 's/shadow' })),
    'goes through "s"',
  ),
  hostile(
    'links to a path through a symlink',
    increment(symlink('s'), command('link', { path: 'a', path_link: 's/shadow' })),
    'goes through "s"',
  ),
  hostile('writes to a symlink', increment(symlink('s', '/etc/passwd'), write('s')), 'but a symlink of the stream'),
  hostile('truncates a symlink', increment(symlink('s'), command('truncate', { path: 's' })), 'but a symlink'),
  hostile('makes a file where a symlink is', increment(symlink('s'), mkfile('s')), 'is there already'),
  hostile('changes the mode of a symlink', increment(symlink('s'), chmod('s', 0o777)), 'is a symlink of the stream'),
  hostile('clones from a symlink', increment(symlink('s'), clone({ clone_path: 's' })), 'but a symlink of the stream'),
  hostile(
    'clones from a fifo',
    full(command('mkfifo', { path: 'f' }), mkfile('file'), clone({ clone_path: 'f' })),
    'but a special',
  ),
  hostile('writes to a fifo', full(command('mkfifo', { path: 'f' }), write('f')), 'but a special file of the stream'),
  hostile('writes to a directory', full(mkdir('d'), write('d')), 'but a directory of the stream'),
  hostile('writes to the subvolume', full(write('')), 'but a directory of the stream'),
  hostile('in full goes through a file', full(mkfile('f'), mkfile('f/a')), /through "f", which is no directory/),
  hostile('in full goes through what is not there', full(mkfile('d/a')), 'goes through "d"'),
  hostile(
    'in full goes through a removed directory',
    full(mkdir('d'), command('rmdir', { path: 'd' }), mkfile('d/a')),
    'goes through "d"',
  ),
  hostile(
    'in full goes through the old name of a directory',
    full(mkdir('d'), rename('d', 'e'), mkfile('d/a')),
    'goes through "d"',
  ),
  hostile('in full goes through a fifo', full(command('mkfifo', { path: 'f' }), mkfile('f/a')), 'goes through "f"'),
  hostile(
    'renames onto a symlink',
    full(symlink('s'), command('link', { path: 't', path_link: 's' }), rename('s', 't')),
    '"t" is there already',
  ),
  hostile('moves a directory into itself', full(mkdir('d'), rename('d', 'd/e')), 'moved into itself'),
  hostile('makes a symlink twice', full(symlink('s'), symlink('s')), 'is there already'),
  hostile('makes the subvolume a directory', full(mkdir('')), 'the subvolume itself is there already'),
  hostile('renames the subvolume', full(rename('', 'a')), 'the subvolume itself cannot be moved'),
  hostile('removes the subvolume', full(command('rmdir', { path: '' })), 'the subvolume itself cannot be'),
  hostile(
    'links to a directory',
    full(mkdir('d'), command('link', { path: 'e', path_link: 'd' })),
    'hard link to the directory',
  ),
  hostile('makes a symlink to nothing', full(symlink('s', '')), 'is no path'),
];
