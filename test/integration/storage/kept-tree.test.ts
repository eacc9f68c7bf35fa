import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSuperblock } from '../../../src/host/superblock.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { sh } from '../recovery/host-view.ts';
import { mountAt } from '../volumes/kernel.ts';
import { makeShims } from './shims.ts';
import { MiB, openStore, SETTINGS, scratchDir } from './store.ts';

describe('what storage remembers', () => {
  it('F4 of a tree counts only for the mount of now: after a hand-made detach nothing works on the device of then', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const device = () => store.storage.withTree(uid, async (tree) => tree.device);
    const before = await device();
    sh('umount', store.layout.volumePath(uid));
    sh('losetup', '--detach', before);
    // Somebody else has the device by now, with a btrfs on it: this test, or another on the machine.
    const foreign = path.join(store.dir, 'foreign.img');
    writeFileSync(foreign, '');
    sh('truncate', '--size=256M', foreign);
    sh('mkfs.btrfs', '--quiet', foreign);
    spawnSync('losetup', [before, foreign]);
    await bringUp(store.storage, uid, SETTINGS);
    const now = await device();
    expect(now).not.toBe(before);
    expect(now).toBe(mountAt(store.layout.volumePath(uid))?.source);
  });

  it.each([1, 3])(
    'F5 of an image that a format left %i times is enough to know it, whatever UUID it has',
    async (times) => {
      await using scratch = scratchDir();
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const uid = await store.made(128 * MiB);
      const { filesystemUUID: chosen } = await store.record(uid);
      // As an agent leaves it that is killed between mkfs and the record.
      shims.fail('^mkfs', { fault: 'after' });
      for (let time = 0; time < times; time++) {
        await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toThrow('injected');
        const left = await readSuperblock(store.layout.imagePath(uid));
        expect([left?.label, left?.filesystemUUID === chosen]).toEqual([chosen, false]);
      }
      shims.heal();
      await bringUp(store.storage, uid, SETTINGS);
      const made = await readSuperblock(store.layout.imagePath(uid));
      expect(await store.record(uid)).toMatchObject({ initialized: true, filesystemUUID: made?.filesystemUUID });
    },
  );

  it('A5 of the image it made: another file in its place is never formatted, blank or not', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const image = store.layout.imagePath(uid);
    // The first is kept, so that its inode number is not given to the second.
    renameSync(image, `${image}.kept`);
    writeFileSync(image, '');
    sh('truncate', '--size=256M', image);
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'ForeignFilesystem' });
    expect(statSync(image).blocks).toBe(0);
  });

  it("F5 of no UUID: a btrfs that never was the volume's stays as it is", async () => {
    await using store = await openStore();
    const uid = await store.made(256 * MiB);
    sh('mkfs.btrfs', '--quiet', '--uuid', randomUUID(), store.layout.imagePath(uid));
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'ForeignFilesystem' });
  });
});
