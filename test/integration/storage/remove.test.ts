import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { observeVolume } from '../../../src/storage/volumes/observe.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { holdMount, isLive, loopsOf, mountsBelow, sh } from '../recovery/host-view.ts';
import { makeShims } from './shims.ts';
import { openStore, SETTINGS, type Store, scratchDir } from './store.ts';

/** Everything of any volume that is on the machine because of this store. */
function leftOf({ layout, dir }: Store): readonly string[] {
  const files = [layout.imagesPath, layout.recordsPath, layout.volumesPath].flatMap((area) => readdirSync(area));
  const loops = sh('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE').split('\n');
  return [...files, ...mountsBelow(layout.rootPath), ...loops.filter((line) => line.includes(dir))];
}

describe('removeVolume', () => {
  it.each(['before', 'after'] as const)(
    'C13 removeVolume: broken off %s any command, it is finished by the next run, and the record goes last',
    async (fault) => {
      await using scratch = scratchDir();
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const all = await store.mounted();
      shims.heal();
      await removeVolume(store.storage, all);
      const commands = shims.ran().length;
      expect(commands).toBeGreaterThan(3);
      for (let nth = 1; nth <= commands; nth++) {
        const uid = await store.mounted();
        if (fault === 'before') shims.dieAt(nth);
        else shims.fail('.', { fault, nth });
        // A command that did its work and reports a failure may be seen through: then nothing was broken off.
        await removeVolume(store.storage, uid).catch(() => undefined);
        const { imagePath, recordPath } = store.layout;
        if (existsSync(imagePath(uid))) expect(existsSync(recordPath(uid))).toBe(true);
        shims.heal();
        await removeVolume(store.storage, uid);
        expect([nth, leftOf(store)]).toEqual([nth, []]);
      }
    },
  );

  it.each<[string, (store: Store, uid: string) => void]>([
    ['the image is gone', ({ layout }, uid) => rmSync(layout.imagePath(uid))],
    [
      'image and record are gone',
      ({ layout }, uid) => [layout.imagePath(uid), layout.recordPath(uid)].map((at) => rmSync(at)),
    ],
    ['only a staged image is there', ({ layout }, uid) => sh('mv', layout.imagePath(uid), layout.stagedImagePath(uid))],
    ['a mount directory is left', ({ layout }, uid) => sh('mkdir', layout.volumePath(uid))],
  ])('C13 removeVolume: goes on when %s', async (_, breakOff) => {
    await using store = await openStore();
    const uid = await store.made();
    breakOff(store, uid);
    await removeVolume(store.storage, uid);
    expect(leftOf(store)).toEqual([]);
  });

  it('C14 removeVolume: what was never there, or is gone already, is removed with success', async () => {
    await using store = await openStore();
    expect(await removeVolume(store.storage, randomUUID())).toBe('was gone already');
    const uid = await store.mounted();
    expect(await removeVolume(store.storage, uid)).toBe('removed');
    expect(await removeVolume(store.storage, uid)).toBe('was gone already');
    expect(leftOf(store)).toEqual([]);
  });

  it('C13 removeVolume: as long as the image can not be deleted its record stays', async () => {
    await using store = await openStore();
    const uid = await store.made();
    sh('chattr', '+i', store.layout.imagesPath);
    try {
      await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ code: 'failed' });
      expect(await store.record(uid)).toMatchObject({ uid });
    } finally {
      sh('chattr', '-i', store.layout.imagesPath);
    }
    expect(await removeVolume(store.storage, uid)).toBe('removed');
  });

  it('C9 removeVolume: another file in the place of the image is not deleted', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const imagePath = store.layout.imagePath(uid);
    sh('mv', imagePath, `${imagePath}.away`);
    writeFileSync(imagePath, 'not ours');
    await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ code: 'foreign' });
    expect(statSync(imagePath).size).toBe(8);
  });
});

describe('bringDown: who else uses the volume', () => {
  it('C16 bringDown: while another mount namespace has the mount nothing is detached, deleted or attached anew', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const { filesystemUUID } = await store.record(uid);
    const imagePath = store.layout.imagePath(uid);
    const loops = loopsOf(imagePath);
    {
      await using holder = await holdMount(store.layout.volumePath(uid));
      for (const verb of [bringDown, removeVolume, bringDown]) {
        await expect(verb(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
        expect(loopsOf(imagePath)).toEqual(loops);
        expect((await observeVolume(store.storage, uid)).loops).toMatchObject([{ autoclear: false }]);
        expect(isLive(filesystemUUID)).toBe(true);
      }
      await bringUp(store.storage, uid, SETTINGS);
      expect(loopsOf(imagePath)).toEqual(loops);
      await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
      await holder.end();
    }
    await waitFor(() => !isLive(filesystemUUID), { what: 'end of the file system' });
    await removeVolume(store.storage, uid);
    expect(leftOf(store)).toEqual([]);
  });

  it('C16 bringDown: a descriptor that keeps the loop device open is seen, and a new attach waits for it', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const [loopPath = ''] = loopsOf(store.layout.imagePath(uid));
    const reader = spawn('sh', ['-c', `exec 3<${loopPath}; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => reader.stdout.once('data', resolve));
      await expect(bringDown(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
      await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'StillInUse' });
      expect(loopsOf(store.layout.imagePath(uid))).toEqual([loopPath]);
    } finally {
      reader.kill('SIGKILL');
    }
    await waitFor(() => loopsOf(store.layout.imagePath(uid)).length === 0, { what: `end of ${loopPath}` });
    await bringUp(store.storage, uid, SETTINGS);
    expect(mountsBelow(store.layout.rootPath)).toHaveLength(1);
  });

  it('C16 removeVolume: a loop device that somebody attached to the image by hand is left, and the image with it', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const imagePath = store.layout.imagePath(uid);
    const [own = ''] = loopsOf(imagePath);
    const byHand = sh('losetup', '--find', '--show', imagePath);
    await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({
      reason: 'StillInUse',
      message: expect.stringContaining(byHand),
    });
    expect(loopsOf(imagePath)).toEqual([byHand]);
    expect(own).not.toBe(byHand);
    sh('losetup', '--detach', byHand);
    await removeVolume(store.storage, uid);
    expect(leftOf(store)).toEqual([]);
  });

  it('C16 removeVolume: a deleted image that another mount namespace has mounted is waited for, then no loop device holds it', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const { filesystemUUID } = await store.record(uid);
    const [loopPath = ''] = loopsOf(store.layout.imagePath(uid));
    const backingFile = () => sh('losetup', '--noheadings', '--output', 'BACK-FILE', loopPath);
    {
      await using holder = await holdMount(store.layout.volumePath(uid));
      sh('umount', store.layout.volumePath(uid));
      rmSync(store.layout.imagePath(uid));
      await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
      expect(backingFile()).toContain('(deleted)');
      await holder.end();
    }
    await waitFor(() => !isLive(filesystemUUID), { what: 'end of the file system' });
    // What it holds may be all there is of the data: only the deletion of the volume ends it.
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'BackingFileMissing' });
    await bringDown(store.storage, uid);
    expect(backingFile()).toContain('(deleted)');
    expect(await removeVolume(store.storage, uid)).toBe('removed');
    expect(leftOf(store)).toEqual([]);
  });

  it('C16 bringDown: a device that somebody took and gave to another file while the volume went down is left alone', async () => {
    let swap = () => {};
    await using store = await openStore({ onCommand: ({ file }) => file === 'umount' && swap() });
    const uid = await store.mounted();
    const [loopPath = ''] = loopsOf(store.layout.imagePath(uid));
    const foreignPath = path.join(store.dir, 'foreign');
    sh('truncate', '--size=1M', foreignPath);
    swap = () => {
      sh('losetup', '--detach', loopPath);
      sh('losetup', loopPath, foreignPath);
    };
    await bringDown(store.storage, uid);
    expect(loopsOf(foreignPath)).toEqual([loopPath]);
    sh('losetup', '--detach', loopPath);
  });

  it('C16 bringDown: an open file keeps the volume as it is', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const before = [loopsOf(store.layout.imagePath(uid)), mountsBelow(store.layout.rootPath)];
    const filePath = path.join(store.layout.dataPath(uid), 'file');
    const user = spawn('sh', ['-c', `exec 3>${filePath}; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => user.stdout.once('data', resolve));
      await expect(bringDown(store.storage, uid)).rejects.toMatchObject({ reason: 'InUse' });
      expect([loopsOf(store.layout.imagePath(uid)), mountsBelow(store.layout.rootPath)]).toEqual(before);
    } finally {
      user.kill('SIGKILL');
    }
  });

  it('C21 removeVolume: the volume of the same uid in another root is not touched', async () => {
    await using store = await openStore();
    await using other = await openStore();
    const uid = await store.mounted();
    const otherUid = await other.mounted();
    const before = leftOf(other);
    await removeVolume(store.storage, otherUid);
    await removeVolume(store.storage, uid);
    expect(leftOf(other)).toEqual(before);
    expect(leftOf(store)).toEqual([]);
  });
});
