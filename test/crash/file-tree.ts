import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const MiB = 1024 * 1024;
/** What {@link pushToEnd} fills the space below with: more than the size that a volume of 512Mi is shrunk to. */
const FILLER_BYTES = 304 * MiB;
const MOVING = 'moving.bin';

/**
 * A small tree of all sorts, every file of it fsynced: small ones, a sparse one, one that compresses well and one that
 * doesn't, the largest.
 */
export async function writeTree(dataPath: string, largestBytes: number): Promise<void> {
  mkdirSync(path.join(dataPath, 'small'));
  for (let index = 0; index < 20; index++)
    writeSynced(path.join(dataPath, 'small', `${index}.txt`), [[0, randomBytes(97 * (index + 1))]]);
  linkSync(path.join(dataPath, 'small', '0.txt'), path.join(dataPath, 'hard-link'));
  symlinkSync('small/1.txt', path.join(dataPath, 'symbolic-link'));
  const pieces = [0, 5 * MiB + 1, 12 * MiB].map((offset) => [offset, randomBytes(8192)] as const);
  writeSynced(path.join(dataPath, 'sparse.bin'), pieces);
  writeSynced(path.join(dataPath, 'compressible.txt'), [[0, Buffer.alloc(2 * MiB, 'all work and no play ')]]);
  writeSynced(path.join(dataPath, MOVING), [[0, randomBytes(largestBytes)]]);
  await run('btrfs', ['filesystem', 'sync', dataPath]);
}

/**
 * What the tree is, large files read from disk and not from the page cache: names, types, modes, owners, times, link
 * targets, and the BLAKE2 sum of every file. The top directory counts with its content only: its owner is the volume's.
 */
export async function manifestOf(dataPath: string): Promise<string> {
  const script = [
    "find . -type f -size +64k -exec dd if={} iflag=nocache count=0 status=none ';'",
    "find . -mindepth 1 -printf '%p %y %m %U:%G %T@ %n %l\\n' | sort",
    'find . -type f -exec b2sum {} + | sort',
  ].join(' && ');
  return (await run('sh', ['-c', script], { cwd: dataPath })).stdout;
}

/** The large file of the tree lies near the end of the volume afterwards, with free space below it: a shrink has to move it. */
export async function pushToEnd(dataPath: string): Promise<void> {
  const script = [
    `fallocate --length ${FILLER_BYTES} filler`,
    `cp --preserve=all --reflink=never ${MOVING} ${MOVING}.new`,
    `sync -- ${MOVING}.new`,
    `mv -- ${MOVING}.new ${MOVING}`,
    'rm filler',
    'btrfs filesystem sync .',
  ].join(' && ');
  await run('sh', ['-c', script], { cwd: dataPath });
}

const run = promisify(execFile);

function writeSynced(file: string, pieces: readonly (readonly [offset: number, bytes: Buffer])[]): void {
  const fd = openSync(file, 'wx');
  for (const [offset, bytes] of pieces) writeSync(fd, bytes, 0, bytes.length, offset);
  fsyncSync(fd);
  closeSync(fd);
}
