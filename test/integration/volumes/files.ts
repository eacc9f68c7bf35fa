import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { sh } from '../recovery/host-view.ts';

/** Files of a directory, with a way to see that they are still what they were. */
export interface KnownFiles {
  /** Removes every second file, which leaves holes everywhere. */
  removeHalf(): void;
  /** Names of files that are missing or changed, in the volume whose data is at `dataPath` now. */
  damaged(dataPath: string): string[];
}

/** `count` files of random bytes, on disk, in `<dataPath>/<name>`. */
export function writeFiles(dataPath: string, name: string, count: number, mebibytes: number): KnownFiles {
  const dir = path.join(dataPath, name);
  mkdirSync(dir);
  for (let number = 0; number < count; number++) {
    writeFileSync(path.join(dir, String(number)), randomBytes(mebibytes * 2 ** 20));
  }
  sh('sync', '--file-system', dir);
  let sums = sumsOf(dir);
  return {
    removeHalf() {
      for (let number = 0; number < count; number += 2) rmSync(path.join(dir, String(number)));
      sh('sync', '--file-system', dir);
      sums = sums.filter((line) => Number(nameIn(line)) % 2 === 1);
    },
    damaged(nowPath) {
      const now = new Set(sumsOf(path.join(nowPath, name)));
      return sums.filter((line) => !now.has(line)).map(nameIn);
    },
  };
}

/** Lines of cksum(1): CRC, size, name. The CRC of what is read to find damage, not forgery, costs a sixtieth of a SHA-256. */
function sumsOf(dir: string): string[] {
  return sh('sh', '-c', 'cd "$0" && cksum -- *', dir).split('\n');
}

function nameIn(line: string): string {
  return line.split(' ').at(-1) ?? '';
}
