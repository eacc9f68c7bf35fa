import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readText } from '../cluster/host-devices.ts';
import { findLeftovers, findUsers, isClean, removeLeftovers, runDirVariable } from '../cluster/host-leftovers.ts';

const losetupPath = execFileSync('sh', ['-c', 'command -v losetup'], { encoding: 'utf8' }).trim();

function shell(cwd: string, script: string): void {
  execFileSync('sh', ['-ec', script], { cwd });
}

/** Empty if it has none; another test may have taken the device meanwhile, for a file of its own. */
const backingFileOf = (device: string) => readText(`/sys/block/${path.basename(device)}/loop/backing_file`).trim();

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

  const user = spawn('sleep', ['1000'], { cwd: path.join(foreignPath, 'mnt'), stdio: 'ignore' });
  expect(findUsers(dir)).toEqual([]);
  expect(findUsers(foreignPath)).toEqual([
    { pid: user.pid, command: 'sleep 1000', path: path.join(foreignPath, 'mnt') },
  ]);
  user.kill('SIGKILL');

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

test('removeLeftovers: a loop device whose backing path another mount namespace shortened is gone', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'leftovers-'));
  shell(dir, 'mkdir images; truncate -s 1M images/a.img');
  // The bind mount is all that the namespace's path of the image begins at, and it goes with the namespace.
  const attach = 'mount --bind images /mnt; losetup --find --show /mnt/a.img';
  const device = execFileSync('unshare', ['--mount', 'sh', '-ec', attach], { cwd: dir, encoding: 'utf8' }).trim();
  expect(backingFileOf(device)).toBe('/a.img');

  expect(findLeftovers(dir).loops).toEqual([{ device, backingFile: '/a.img' }]);
  await removeLeftovers(dir, 'marked');
  expect(backingFileOf(device)).not.toContain('/a.img'); // deleted or not
});

test('removeLeftovers: a loop device of which only its file is told, as while it is being detached, is waited for', async () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'leftovers-'));
  const shims = mkdtempSync(path.join(tmpdir(), 'shims-'));
  shell(dir, 'mkdir images; truncate -s 1M images/a.img');
  const attach = 'mount --bind images /mnt; losetup --find --show /mnt/a.img';
  const device = execFileSync('unshare', ['--mount', 'sh', '-ec', attach], { cwd: dir, encoding: 'utf8' }).trim();
  // The kernel tells of a device that somebody has open until that ends; this is the moment after that, made long.
  const listing = `if [ "$1" = --list ] && [ -e ${shims}/detached ]; then exit 0; fi
[ "$1" != --detach ] || touch ${shims}/detached
exec ${losetupPath} "$@"`;
  writeFileSync(path.join(shims, 'losetup'), `#!/bin/sh\n${listing}\n`, { mode: 0o755 });
  const holder = openSync(device, 'r');
  const pathBefore = process.env.PATH;
  process.env.PATH = `${shims}:${pathBefore}`;
  try {
    setTimeout(() => closeSync(holder), 500);
    await removeLeftovers(dir, 'marked');
    expect(backingFileOf(device)).not.toContain('/a.img'); // deleted or not
  } finally {
    process.env.PATH = pathBefore;
    rmSync(shims, { recursive: true });
  }
});
