import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { sh } from '../recovery/host-view.ts';

const KiB = 1024;
/** 255 bytes, 85 characters. */
const LONG_NAME = '長'.repeat(85);

/** A tree with all that `btrfs send` has commands for, and symlinks that lead to `outsidePaths`. */
export function writeRichTree(treePath: string, outsidePaths: readonly string[]): void {
  const at = (...names: string[]) => path.join(treePath, ...names);
  mkdirSync(at('a/b/c'), { recursive: true });
  mkdirSync(at('empty'));
  mkdirSync(at(LONG_NAME));
  writeFileSync(at('a/b/c/text'), 'compresses well '.repeat(12 * KiB));
  writeFileSync(at('a/small'), 'inline');
  writeFileSync(at(LONG_NAME, `${LONG_NAME.slice(1)}.x`), 'long');
  writeFileSync(at('a/new\nline "quoted"'), '');
  linkSync(at('a/small'), at('a/b/hard'));
  symlinkSync('b/c/text', at('a/link'));
  linkSync(at('a/link'), at('a/b/link'));
  for (const [index, target] of outsidePaths.entries()) symlinkSync(target, at(`out${index}`));
  writeFileSync(at('gone'), Buffer.alloc(64 * KiB, 'goes, and its data stays'));
  writeFileSync(at('hole'), 'head');
  truncateSync(at('hole'), 900 * KiB);
  sh('cp', '--reflink=always', at('a/b/c/text'), at('clone'));
  sh('fallocate', '--keep-size', '--length', '128K', at('a/small'));
  sh('mkfifo', at('fifo'));
  sh('setfattr', '--name=user.note', '--value=a note', at('a/small'));
  sh('setfattr', '--name=trusted.overlay.opaque', '--value=y', at('a/b'));
  sh('setfattr', '--name=btrfs.compression', '--value=zstd', at('a'));
  sh('chown', '1000:1000', at('a/b/c/text'));
  chmodSync(at('empty'), 0o2775);
  chmodSync(at('a'), 0o1777);
}

/** What an increment has to say much about: names that move, change places, and become another kind of file. */
export function changeRichTree(treePath: string): void {
  const at = (...names: string[]) => path.join(treePath, ...names);
  sh('cp', '--reflink=always', at('clone'), at('a/again'));
  // The data of the new file is in the parent only: it is cloned from there.
  sh('cp', '--reflink=always', at('gone'), at('a/kept'));
  unlinkSync(at('gone'));
  renameSync(at('a/b/c'), at('c'));
  renameSync(at('a/b'), at('c/b'));
  renameSync(at('a'), at('c/b/a'));
  mkdirSync(at('a'));
  symlinkSync('../c', at('a/b'));
  writeFileSync(at('clone'), 'now short');
  truncateSync(at('hole'), 10);
  unlinkSync(at('fifo'));
  mkdirSync(at('fifo'));
  writeFileSync(at('fifo/in'), 'it');
  rmSync(at('empty'), { recursive: true });
  symlinkSync('c', at('empty'));
  unlinkSync(at('out0'));
  mkdirSync(at('out0'));
  symlinkSync('../c/text', at('out0/s'));
  mkdirSync(at('setgid'));
  chmodSync(at('setgid'), 0o2755);
  sh('setfattr', '--remove=user.note', at('c/b/a/small'));
}

/** A read-only snapshot, as `btrfs send` wants it. */
export function snapshotOf(subvolumePath: string, snapshotPath: string): string {
  sh('btrfs', 'subvolume', 'snapshot', '-r', subvolumePath, snapshotPath);
  return snapshotPath;
}

export function sendStream(snapshotPath: string, ...args: readonly string[]): Buffer {
  return execFileSync('btrfs', ['--quiet', 'send', ...args, snapshotPath], {
    maxBuffer: 64 * KiB * KiB,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
