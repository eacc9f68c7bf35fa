import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { sh } from '../integration/recovery/host-view.ts';
import { randomOf } from './random.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

type Random = () => number;

const NOISE = Buffer.alloc(32 * MiB);
for (let at = 0, random = randomOf(7); at < NOISE.length; at += 4) NOISE.writeUInt32LE(random() * 2 ** 32, at);

interface Fill {
  /** Size of the next file in bytes. */
  readonly fileBytes: (random: Random) => number;
  readonly mostFiles: number;
  /** How much of each 8 KiB does not compress; 1 if absent. */
  readonly noise?: number;
  /** Overwrites little pieces of files at random, so that their extents are short and only partly used. */
  readonly overwrites?: boolean;
  readonly snapshots?: boolean;
}

/** What volumes are filled with; of each fill half of the files are deleted again, at random. */
const fills = {
  big: { fileBytes: (random) => (4 + random() * 90) * MiB, mostFiles: 500 },
  small: { fileBytes: (random) => (4 + random() * 60) * KiB, mostFiles: 6_000 },
  inline: { fileBytes: (random) => 100 + random() * 1_800, mostFiles: 15_000 },
  mixed: { fileBytes: mixedBytes, mostFiles: 6_000 },
  snapshots: { fileBytes: (random) => random() * 8 * MiB, mostFiles: 2_000, snapshots: true },
  compressed: { fileBytes: (random) => random() * 3 * MiB, mostFiles: 2_000, noise: 0.4 },
  fragmented: { fileBytes: (random) => random() * 20 * MiB, mostFiles: 500, overwrites: true },
} as const satisfies Record<string, Fill>;

export type FillName = keyof typeof fills;

export const fillNames = Object.keys(fills) as FillName[];

function mixedBytes(random: Random): number {
  if (random() < 0.02) return random() * 40 * MiB;
  return random() < 0.5 ? random() * 2_000 : random() * 300 * KiB;
}

/** Fills a filesystem of `sizeBytes` to between 25 % and 85 %, or until it is full, and deletes half of it again; all on disk. */
export function fillAtRandom(mountPath: string, name: FillName, sizeBytes: number, seed: number): void {
  const random = randomOf(seed);
  const fill: Fill = fills[name];
  const files = writeFiles(mountPath, fill, random, sizeBytes * (0.25 + 0.6 * random()));
  const [first, second] = [path.join(mountPath, 'first'), path.join(mountPath, 'second')];
  sync(mountPath);
  if (fill.snapshots) takeSnapshot(mountPath, first, files);
  for (const file of files) if (random() < 0.5) rmSync(file);
  if (fill.snapshots) takeSnapshot(mountPath, second, files);
  if (fill.snapshots && random() < 0.5) sh('btrfs', 'subvolume', 'delete', '--commit-after', first);
  sync(mountPath);
}

/** In a full filesystem the last files go until there is space for the snapshot's metadata. */
function takeSnapshot(mountPath: string, to: string, files: string[]): void {
  for (;;) {
    try {
      sh('btrfs', 'subvolume', 'snapshot', '-r', mountPath, to);
      return;
    } catch (error) {
      if (!String(error).includes('No space left on device') || files.length === 0) throw error;
      for (const file of files.splice(-10)) rmSync(file, { force: true });
      sync(mountPath);
    }
  }
}

/** Creates what a volume must take after it was minimized: some thousand small files, and 32 MiB. Throws ENOSPC when it doesn't. */
export function createMore(mountPath: string): void {
  const dir = path.join(mountPath, 'more');
  mkdirSync(dir);
  for (let number = 0; number < 3_000; number++) writeNoise(path.join(dir, String(number)), 1_500, number);
  writeNoise(path.join(dir, 'large'), 32 * MiB, 0);
  sync(mountPath);
}

function writeFiles(mountPath: string, fill: Fill, random: Random, bytes: number): string[] {
  const files: string[] = [];
  for (let written = 0; written < bytes && files.length < fill.mostFiles; ) {
    const dir = path.join(mountPath, `d${files.length % 50}`);
    const file = path.join(dir, `f${files.length}`);
    const size = Math.ceil(fill.fileBytes(random));
    try {
      mkdirSync(dir, { recursive: true });
      writeNoise(file, size, Math.floor(random() * MiB), fill.noise);
      files.push(file);
      if (fill.overwrites && files.length % 10 === 0) overwrite(mountPath, files, random);
      if (random() < 0.01) sync(mountPath);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      rmSync(file, { force: true });
      return files;
    }
    written += size * (fill.noise ?? 1);
  }
  return files;
}

function overwrite(mountPath: string, files: readonly string[], random: Random): void {
  for (let piece = 0; piece < 200; piece++) {
    const file = files[Math.floor(random() * files.length)] ?? '';
    const at = Math.floor(random() * 1_000) * 4 * KiB;
    const fd = openSync(file, 'r+');
    writeSync(fd, NOISE, 0, 4 * KiB * (1 + Math.floor(random() * 8)), at);
    closeSync(fd);
  }
  sync(mountPath);
}

function writeNoise(file: string, bytes: number, offset: number, noise = 1): void {
  const source = noise < 1 ? compressible(noise) : NOISE;
  const fd = openSync(file, 'w');
  try {
    for (let at = 0; at < bytes; ) {
      const from = (offset + at) % (source.length / 2);
      at += writeSync(fd, source, from, Math.min(bytes - at, source.length - from));
    }
  } finally {
    closeSync(fd);
  }
}

/** Noise of which each 8 KiB end in zeros. */
function compressible(noise: number): Buffer {
  const block = 8 * KiB;
  const buffer = Buffer.alloc(4 * MiB);
  for (let at = 0; at < buffer.length; at += block) NOISE.copy(buffer, at, at, at + block * noise);
  return buffer;
}

function sync(mountPath: string): void {
  sh('btrfs', 'filesystem', 'sync', mountPath);
}
