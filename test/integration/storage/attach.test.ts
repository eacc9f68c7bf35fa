import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readSuperblock } from '../../../src/host/superblock.ts';
import { openRoot } from '../../../src/storage/root.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { createImage } from '../../../src/storage/volumes/create.ts';
import { observeVolume } from '../../../src/storage/volumes/observe.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { resizeVolume } from '../../../src/storage/volumes/resize.ts';
import { tune } from '../../../src/storage/volumes/tune.ts';
import { isLive, loopsOf, mountsBelow, sh } from '../recovery/host-view.ts';
import { makeShims } from './shims.ts';
import { MiB, openStore, SETTINGS, scratchDir, storageIn } from './store.ts';

const execute = promisify(execFile);
const oftenPath = path.join(import.meta.dirname, 'bring-up-often.ts');

describe('bringUp: one loop device for an image', () => {
  it('C3 bringUp: 50 at once attach the image once', async () => {
    await using store = await openStore();
    const uid = await store.made();
    await Promise.all(Array.from({ length: 50 }, () => bringUp(store.storage, uid, SETTINGS)));
    expect(store.commands.filter(({ args }) => args.includes('--find'))).toHaveLength(1);
    expect(store.commands.filter(({ file }) => file === 'mkfs.btrfs')).toHaveLength(1);
    expect(loopsOf(store.layout.imagePath(uid))).toHaveLength(1);
    expect(mountsBelow(store.layout.rootPath)).toHaveLength(1);
  });

  it('C3 bringUp: 50 at once, of two processes, attach the image once', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const both = await Promise.all([1, 2].map(() => execute(process.execPath, [oftenPath, store.dir, uid, '25'])));
    expect(both.reduce((sum, { stdout }) => sum + Number(stdout), 0)).toBe(1);
    expect(loopsOf(store.layout.imagePath(uid))).toHaveLength(1);
    expect(mountsBelow(store.layout.rootPath)).toHaveLength(1);
  });

  it('C3 bringUp: what is attached and mounted is used as it is by a process that knows nothing of it', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const [loops, mounts] = [loopsOf(store.layout.imagePath(uid)), mountsBelow(store.layout.rootPath)];
    await bringUp(storageIn(store.dir), uid, SETTINGS);
    expect(loopsOf(store.layout.imagePath(uid))).toEqual(loops);
    expect(mountsBelow(store.layout.rootPath)).toEqual(mounts);
  });

  it('C3 bringUp: a device that an interrupted run attached is used, not a second one', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const loopPath = sh('losetup', '--find', '--show', store.layout.imagePath(uid));
    await bringUp(store.storage, uid, SETTINGS);
    expect(loopsOf(store.layout.imagePath(uid))).toEqual([loopPath]);
    expect((await observeVolume(store.storage, uid)).tree?.loopPath).toBe(loopPath);
  });

  it('C16 bringUp, removeVolume: the device of a file with the same inode number on another file system is left alone', async () => {
    await using scratch = scratchDir();
    const [ours, foreign] = ['ours', 'foreign'].map((name) => path.join(scratch.dir, name)) as [string, string];
    for (const dir of [ours, foreign]) {
      sh('mkdir', dir);
      sh('mount', '-t', 'tmpfs', '-o', 'inode64', 'tmpfs', dir);
    }
    const storage = storageIn(ours);
    const root = await openRoot(storage);
    const uid = randomUUID();
    const imagePath = storage.layout.imagePath(uid);
    // With the image's name: devices of files that are called otherwise are not even asked.
    const twinPath = path.join(foreign, path.basename(imagePath));
    try {
      await createImage(storage, { uid, namespace: 'default', name: 'vol' }, 256 * MiB);
      const { ino } = statSync(imagePath);
      do {
        rmSync(twinPath, { force: true });
        writeFileSync(twinPath, '');
      } while (statSync(twinPath).ino < ino);
      expect(statSync(twinPath).ino).toBe(ino);
      sh('truncate', '--size=256M', twinPath);
      const twin = sh('losetup', '--find', '--show', twinPath);
      await bringUp(storage, uid, SETTINGS);
      expect(loopsOf(imagePath)).toHaveLength(1);
      expect(loopsOf(imagePath)).not.toContain(twin);
      expect(await removeVolume(storage, uid)).toBe('removed');
      expect(loopsOf(twinPath)).toEqual([twin]);
      expect(sh('losetup', '--noheadings', '--output', 'AUTOCLEAR', twin)).toBe('0');
      expect(await readSuperblock(twinPath)).toBeUndefined();
    } finally {
      for (const loop of loopsOf(twinPath)) sh('losetup', '--detach', loop);
      await root.release();
    }
  });

  it('C16 bringUp: with a second loop device on the image nothing is mounted, and neither is detached', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    await bringDown(store.storage, uid);
    const imagePath = store.layout.imagePath(uid);
    const both = [1, 2].map(() => sh('losetup', '--find', '--show', imagePath));
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'StillInUse' });
    expect(loopsOf(imagePath).toSorted()).toEqual(both.toSorted());
    expect(mountsBelow(store.layout.rootPath)).toEqual([]);
  });

  it('C16 bringUp: a copy of the image that is mounted elsewhere keeps the volume down', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    await bringDown(store.storage, uid);
    const copyPath = path.join(store.dir, 'copy.img');
    sh('cp', '--sparse=always', store.layout.imagePath(uid), copyPath);
    sh('mkdir', path.join(store.dir, 'copy'));
    sh('mount', '-o', 'loop', copyPath, path.join(store.dir, 'copy'));
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'DuplicateFilesystem' });
    expect(loopsOf(store.layout.imagePath(uid))).toEqual([]);
    expect(mountsBelow(store.layout.rootPath)).toEqual([]);
  });
});

describe('bringUp: format', () => {
  it.each([
    ['done nothing', 'mkfs', 'before'],
    ['made the file system', 'mkfs', 'after'],
    ['made the tree', 'subvolume create .*operator$', 'after'],
    ['made data/', 'subvolume create .*/data$', 'after'],
    ['put it all on disk', 'filesystem sync', 'after'],
  ] as const)(
    'C4 bringUp: a format that broke off when it had %s is done again from zero, once',
    async (_, pattern, fault) => {
      await using scratch = scratchDir();
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const uid = await store.made();
      shims.fail(pattern, { fault });
      await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toThrow('injected');
      expect(await store.record(uid)).toMatchObject({ initialized: false });
      expect(loopsOf(store.layout.imagePath(uid))).toEqual([]);
      shims.heal();
      await bringUp(store.storage, uid, SETTINGS);
      expect(shims.ran().filter((typed) => typed.startsWith('mkfs.btrfs'))).toHaveLength(1);
      expect(await store.record(uid)).toMatchObject({ initialized: true });
      expect(sh('ls', '-A', store.layout.volumePath(uid))).toBe('data');
    },
  );

  it('C4 bringUp: what was formatted once is never formatted again', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const filePath = path.join(store.layout.dataPath(uid), 'file');
    writeFileSync(filePath, 'precious');
    await bringDown(store.storage, uid);
    await store.reopened();
    const later = storageIn(store.dir, { onCommand: ({ file }) => expect(file).not.toBe('mkfs.btrfs') });
    await bringUp(later, uid, SETTINGS);
    expect(readFileSync(filePath, 'utf8')).toBe('precious');
  });
});

describe('bringUp: mount', () => {
  it.each([
    ['discard=async', { discard: 'Async' }],
    ['compress=zstd:3', { compression: 'zstd:3' }],
  ] as const)(
    'C15 bringUp: %s is left out when the kernel refuses it, and not asked for again',
    async (option, wish) => {
      await using scratch = scratchDir();
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const uid = await store.made();
      shims.fail(`^mount .*${option}`, { stderr: 'mount: wrong fs type, bad option, bad superblock on /dev/loop' });
      await bringUp(store.storage, uid, { ...SETTINGS, ...wish });
      expect(store.storage.refusedOptions.get(uid)).toContain(option);
      expect(shims.ran().filter((typed) => typed.includes(option))).toHaveLength(1);
      expect((await observeVolume(store.storage, uid)).tree?.options).toContain('noatime');
    },
  );

  it('C15 bringUp: an option that is not best effort is not left out', async () => {
    await using scratch = scratchDir();
    const shims = makeShims(scratch.dir);
    await using store = await openStore({ commandPath: shims.commandPath });
    const uid = await store.made();
    shims.fail('^mount .*nosuid', { stderr: 'mount: bad option' });
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toThrow('bad option');
    expect(mountsBelow(store.layout.rootPath)).toEqual([]);
    expect(loopsOf(store.layout.imagePath(uid))).toEqual([]);
  });

  it('C15 bringDown: several users of one volume share its file system, and it waits for the last', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const { filesystemUUID } = await store.record(uid);
    const users = ['one', 'two'].map((name) => path.join(store.dir, name));
    for (const userPath of users) {
      sh('mkdir', userPath);
      sh('mount', '--bind', store.layout.dataPath(uid), userPath);
    }
    writeFileSync(path.join(store.dir, 'one', 'file'), 'shared');
    expect(readFileSync(path.join(store.dir, 'two', 'file'), 'utf8')).toBe('shared');
    for (const userPath of users) {
      await expect(bringDown(store.storage, uid)).rejects.toMatchObject({ reason: 'InUse' });
      expect(isLive(filesystemUUID)).toBe(true);
      sh('umount', userPath);
    }
    await bringDown(store.storage, uid);
    expect(isLive(filesystemUUID)).toBe(false);
  });

  it('C12 LoopbackVolume: a snapshot of the mounted, busy volume needs no freeze, and none of the verbs freezes it', async () => {
    await using store = await openStore();
    const uid = await store.mounted(300 * MiB);
    const dataPath = store.layout.dataPath(uid);
    const writer = execFile('sh', ['-c', `while :; do date >>${dataPath}/busy; done`]);
    try {
      execFileSync('btrfs', ['subvolume', 'snapshot', '-r', dataPath, path.join(store.layout.volumePath(uid), 'snap')]);
      await tune(store.storage, uid, { ...SETTINGS, label: 'busy', compression: 'lzo' });
      await resizeVolume(store.storage, uid, 400 * MiB);
      await expect(bringDown(store.storage, uid)).rejects.toMatchObject({ reason: 'InUse' });
      sh('timeout', '5', 'touch', path.join(dataPath, 'still-writable'));
    } finally {
      writer.kill('SIGKILL');
    }
    expect(store.commands.filter(({ file, args }) => /freeze/.test([file, ...args].join(' ')))).toEqual([]);
  });
});
