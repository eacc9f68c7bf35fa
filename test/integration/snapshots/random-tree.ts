import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { sh } from '../recovery/host-view.ts';

const KiB = 1024;
/** Directories beside the rest of the tree, 100 in each of 100 nearly. */
const DIRECTORIES = 10_000;
/** 255 bytes. */
const LONG_NAME = '長'.repeat(85);
/** Bytes that mean something to a shell, a terminal, a format or nobody. */
const ODD_NAMES = [
  Buffer.from('new\nline'),
  Buffer.from('-rf * "$(x)" \\ %s'),
  Buffer.from([0xff, 0xfe, 0x80, 0x1b, 0x5b, 0x41]),
  Buffer.from(' '),
  Buffer.from('n'.repeat(255)),
];

/** Numbers from 0 to `below`, the same for the same seed (mulberry32). */
export type Random = (below: number) => number;

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** All that a tree can hold without privileges over devices; {@link changeTree} knows its places. */
export function writeTree(dataPath: string, random: Random): void {
  const at = (...names: string[]) => path.join(dataPath, ...names);
  for (let index = 0; index < DIRECTORIES; index++) {
    mkdirSync(at('many', `${index % 100}`, `dir-${index}`), { recursive: true });
  }
  mkdirSync(at('live', 'deep', 'er', LONG_NAME), { recursive: true });
  for (let index = 0; index < 40; index++) writeFileSync(at('live', `file-${index}`), bytesOf(random, index * KiB));
  for (const name of ODD_NAMES) {
    writeFileSync(Buffer.concat([Buffer.from(at('live/')), name]), name);
    mkdirSync(Buffer.concat([Buffer.from(at('odd/')), name]), { recursive: true });
    symlinkSync(name, Buffer.concat([Buffer.from(at('live/deep/er/')), name]));
  }
  writeFileSync(at('sparse'), 'head');
  truncateSync(at('sparse'), 16 * KiB * KiB);
  writeFileSync(at('live/compressible'), 'compresses well '.repeat(64 * KiB));
  sh('cp', '--reflink=always', at('live/compressible'), at('live/clone'));
  linkSync(at('live/file-1'), at('live/deep/hard'));
  linkSync(at('live/file-1'), at('live/deep/er', LONG_NAME, 'harder'));
  symlinkSync('/no/such/place', at('live/dangling'));
  sh('fallocate', '--keep-size', '--length=256K', at('live/file-2'));
  sh('mkfifo', '--mode=640', at('live/fifo'));
  sh('setfattr', '--name=user.note', '--value=a note', at('live/file-3'));
  sh('setfattr', '--name=user.binary', '--value=0xff000a22', at('live/deep'));
  sh('setfattr', '--name=trusted.overlay.opaque', '--value=y', at('live/deep/er'));
  sh('setfacl', '--modify=user:1234:rx,group:4321:rw', at('live/file-4'));
  sh('setfacl', '--default', '--modify=user:1234:rwx', at('live/deep'));
  sh('chown', '--no-dereference', '70000:80000', at('live/file-5'), at('live/dangling'), at('live/fifo'));
  sh('chmod', '3771', at('live/deep/er'));
  sh('touch', '--no-dereference', '--date=1969-12-31T23:00:00.123456789Z', at('live/dangling'));
  sh('touch', '--date=2038-01-20T00:00:00.000000001Z', at('live/file-6'));
}

/** A socket in the tree for as long as it is not disposed of. */
export async function listenIn(dirPath: string): Promise<AsyncDisposable> {
  // A path of a socket has 107 bytes at most: this one is short.
  const fd = openSync(dirPath, 'r');
  const server: Server = createServer();
  await new Promise<void>((resolve) => server.listen(`/proc/self/fd/${fd}/socket`, resolve));
  return {
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
      closeSync(fd);
    },
  };
}

/** A day in the life of the tree: 40 changes of all kinds, and some among the many directories. */
export function changeTree(dataPath: string, random: Random, turn: number): void {
  const livePath = path.join(dataPath, 'live');
  for (let step = 0; step < 40; step++) changeSomething(livePath, random, `new-${turn}-${step}`);
  const many = (index: number) => path.join(dataPath, 'many', `${index}`);
  for (let step = 0; step < 10; step++) {
    const [from, to] = [many(random(100)), many(random(100))];
    const [first] = readdirSync(from);
    if (first !== undefined) renameSync(path.join(from, first), path.join(to, `moved-${turn}-${step}`));
    const [, second] = readdirSync(from);
    if (second !== undefined) rmSync(path.join(from, second), { recursive: true });
    mkdirSync(path.join(to, `made-${turn}-${step}`, 'in', 'it'), { recursive: true });
  }
  // The file is nothing but holes around a few bytes.
  writeAt(path.join(dataPath, 'sparse'), random(16 * KiB) * KiB, Buffer.from(`turn ${turn}`));
}

function changeSomething(livePath: string, random: Random, name: string): void {
  const all = readdirSync(livePath, { recursive: true, withFileTypes: true })
    // What is no UTF-8 stays as it is: Node has lost its name here.
    .filter((entry) => !entry.name.includes('\ufffd') && !entry.parentPath.includes('\ufffd'))
    .map((entry) => ({
      path: path.join(entry.parentPath, entry.name),
      isFile: entry.isFile(),
      isDir: entry.isDirectory(),
    }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const pick = (from: readonly { path: string }[]) => from[random(from.length)]?.path ?? livePath;
  const files = all.filter(({ isFile }) => isFile);
  const dirs = [{ path: livePath }, ...all.filter(({ isDir }) => isDir)];
  const [file, any, fresh] = [pick(files), pick(all), path.join(pick(dirs), name)];
  const changes: readonly (() => unknown)[] = [
    () => writeFileSync(fresh, bytesOf(random, random(96 * KiB))),
    () => writeAt(file, random(64 * KiB), bytesOf(random, random(16 * KiB))),
    () => truncateSync(file, random(128 * KiB)),
    () => moveInto(any, fresh),
    () => moveInto(pick(files), file),
    () => rmSync(file),
    () => linkSync(file, fresh),
    () => symlinkSync(path.basename(any), fresh),
    () => mkdirSync(path.join(fresh, 'a', 'b'), { recursive: true }),
    () => sh('cp', '--reflink=always', '--', file, fresh),
    () => sh('mkfifo', '--', fresh),
    () => sh('chmod', ['600', '755', '1777', '640'][random(4)] ?? '', file),
    () => sh('chown', '--no-dereference', `${random(2000)}:${random(2000)}`, '--', any),
    () => sh('setfattr', '--no-dereference', `--name=user.${name}`, `--value=${random(9999)}`, '--', file),
    () => sh('setfacl', `--modify=user:${random(99)}:r`, '--', file),
    () => sh('setfacl', '--remove-all', '--', file),
    () => sh('touch', '--no-dereference', `--date=@${random(2 ** 31)}.${random(1_000_000_000)}`, '--', any),
    () => sh('fallocate', '--punch-hole', `--offset=${random(8) * 4 * KiB}`, '--length=8K', file),
    // Without another one it would be the whole tree.
    () => dirs.length > 1 && rmSync(pick(dirs.slice(1)), { recursive: true }),
  ];
  // The last one takes much away: seldom.
  const kinds = random(10) === 0 ? changes.length : changes.length - 1;
  changes[random(kinds)]?.();
}

/** A directory can't be moved into itself. */
function moveInto(from: string, to: string): void {
  if (`${to}/`.startsWith(`${from}/`)) return;
  renameSync(from, to);
}

function writeAt(file: string, offset: number, bytes: Buffer): void {
  const fd = openSync(file, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

function bytesOf(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 4) bytes[index] = random(256);
  return bytes;
}
