import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { findLeftovers, isClean, removeLeftovers, runDirVariable } from '../cluster/host-leftovers.ts';

function shell(cwd: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd });
}

test('removeLeftovers: a frozen mount, its loop device, a marked process and immutable files are gone, others stay', async () => {
  const parentPath = mkdtempSync(path.join(tmpdir(), 'leftovers-'));
  const dir = path.join(parentPath, 'ours');
  const foreignPath = path.join(parentPath, 'foreign');
  for (const each of [dir, foreignPath]) {
    mkdirSync(each);
    shell(each, 'truncate -s 120M a.img; mkfs.btrfs -q a.img; mkdir mnt; mount -o loop a.img mnt');
  }
  shell(dir, 'mkdir fixed; chattr +i fixed; fsfreeze --freeze mnt');
  const env = { PATH: process.env.PATH, [runDirVariable]: dir };
  const marked = spawn('sleep', ['1000'], { env, stdio: 'ignore' });
  const ended = new Promise((resolve) => marked.once('exit', (_, signal) => resolve(signal)));

  const left = findLeftovers(dir);
  expect(left.mounts).toEqual([path.join(dir, 'mnt')]);
  expect(left.loops.map(({ backingFile }) => backingFile)).toEqual([path.join(dir, 'a.img')]);
  expect(left.processes).toEqual([{ pid: marked.pid, command: 'sleep 1000', marked: true }]);

  await removeLeftovers(dir, 'marked');
  expect(await ended).toBe('SIGKILL');
  expect(existsSync(dir)).toBe(false);
  expect(findLeftovers(foreignPath).mounts).toEqual([path.join(foreignPath, 'mnt')]);
  await removeLeftovers(foreignPath, 'marked');
  expect(isClean(findLeftovers(parentPath))).toBe(true);
});
