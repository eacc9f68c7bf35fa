import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { sh } from '../recovery/host-view.ts';

/** Files of a directory, with a way to see that they are still what they were. */
export interface KnownFiles {
  /** Removes every second file, which leaves holes everywhere. */
  removeHalf(): void;
  /** Names of files that are missing or changed, in a directory of the same name in `dataPath`. */
  damaged(dataPath: string): string[];
}

/** `count` files of random bytes, on disk, in `<dataPath>/<name>`. */
export function writeFiles(dataPath: string, name: string, count: number, mebibytes: number): KnownFiles {
  const dir = path.join(dataPath, name);
  mkdirSync(dir);
  for (let number = 0; number < count; number++) {
    output(
      'dd',
      'if=/dev/urandom',
      `of=${path.join(dir, String(number))}`,
      'bs=1M',
      `count=${mebibytes}`,
      'status=none',
    );
  }
  sh('sync', '--file-system', dir);
  let sums = sumsOf(dir);
  return {
    removeHalf() {
      for (let number = 0; number < count; number += 2) rmSync(path.join(dir, String(number)));
      sh('sync', '--file-system', dir);
      sums = sums.filter((line) => Number(line.split('  ')[1]) % 2 === 1);
    },
    damaged(nowPath) {
      const now = new Set(sumsOf(path.join(nowPath, name)));
      return sums.filter((line) => !now.has(line)).map((line) => line.split('  ')[1] ?? line);
    },
  };
}

/** Lines of sha256sum(1): sum, two spaces, name. */
function sumsOf(dir: string): string[] {
  return sh('sh', '-c', 'cd "$0" && sha256sum -- *', dir).split('\n');
}
