import { spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { loadRecord, saveRecord } from '../../../src/storage/records.ts';
import { openRoot } from '../../../src/storage/root.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { createImage } from '../../../src/storage/volumes/create.ts';
import { resizeVolume } from '../../../src/storage/volumes/resize.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { MiB, openStore, SETTINGS, type Store, scratchDir, storageIn } from './store.ts';

const saverPath = path.join(import.meta.dirname, 'save-records.ts');

/** Saves records in another process, kills it in the middle, and gives the size that it said was saved last. */
async function killWhileSaving(store: Store, uid: string): Promise<number> {
  const saver = spawn(process.execPath, [saverPath, store.layout.rootPath, uid], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  saver.stdout.on('data', (chunk) => {
    said += chunk;
  });
  await once(saver.stdout, 'data');
  await sleep(randomInt(30)); // any instant of a save is as good as another
  saver.kill('SIGKILL');
  await once(saver, 'close');
  const whole = said.slice(0, said.lastIndexOf('\n')).split('\n');
  return Number(whole.at(-1));
}

describe('records', () => {
  it('C6 saveRecord: kill -9 in the middle of a save, 20 times, leaves a whole record, never older than the last that was saved', async () => {
    await using store = await openStore();
    const rounds = async () => {
      const uid = await store.made();
      // Long enough that a write in place would be seen half done.
      await saveRecord(store.layout, { ...(await store.record(uid)), namespace: 'n'.repeat(400_000) });
      for (let round = 0; round < 5; round++) {
        const savedBytes = await killWhileSaving(store, uid);
        const { sizeBytes, namespace } = await store.record(uid);
        expect(sizeBytes).toBeGreaterThanOrEqual(savedBytes);
        expect(namespace).toHaveLength(400_000);
      }
    };
    await Promise.all([rounds(), rounds(), rounds(), rounds()]);
    await store.reopened();
    expect(readdirSync(store.layout.recordsPath).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('C6 loadRecord: a record that is no record is reported with its path, and the image stays', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const recordPath = store.layout.recordPath(uid);
    const text = readFileSync(recordPath, 'utf8');
    writeFileSync(recordPath, text.slice(0, text.length / 2));
    await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ reason: 'RecordDamaged' });
    await expect(loadRecord(store.layout, uid)).rejects.toThrow(recordPath);
    expect(readFileSync(recordPath, 'utf8')).toBe(text.slice(0, text.length / 2));
    expect(existsSync(store.layout.imagePath(uid))).toBe(true);
  });

  it('C5 record: names the object, its file system and its tree, and is for root alone', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const record = await store.record(uid);
    const shown = sh('btrfs', 'subvolume', 'show', store.layout.volumePath(uid));
    expect(record).toMatchObject({
      uid,
      kind: 'LoopbackVolume',
      namespace: 'default',
      name: 'vol',
      initialized: true,
      sizeBytes: 256 * MiB,
      filesystemUUID: sh('findmnt', '--noheadings', '--output', 'UUID', store.layout.volumePath(uid)),
    });
    expect(shown).toMatch(new RegExp(`UUID:\\s+${record.tree?.uuid}`));
    expect(statSync(store.layout.recordPath(uid)).mode & 0o777).toBe(0o600);
  });

  it('C7 record: says what is intended before anything is done', async () => {
    const before: Record<string, unknown>[] = [];
    let recordPath = '';
    await using store = await openStore({
      onCommand: ({ file, args }) => {
        const acts = file === 'mkfs.btrfs' || file === 'truncate' || args.includes('resize');
        if (acts) before.push({ file, ...JSON.parse(readFileSync(recordPath, 'utf8')) });
      },
    });
    const uid = await store.made();
    recordPath = store.layout.recordPath(uid);
    await bringUp(store.storage, uid, SETTINGS);
    expect(before).toMatchObject([{ file: 'mkfs.btrfs', initialized: false }]);
    before.length = 0;
    for (const toBytes of [512 * MiB, 300 * MiB]) {
      await resizeVolume(store.storage, uid, toBytes);
      expect(before.length).toBeGreaterThan(1);
      for (const record of before) expect(record).toMatchObject({ resize: { toBytes } });
      before.length = 0;
    }
    expect(await store.record(uid)).toMatchObject({ sizeBytes: 300 * MiB, initialized: true });
    expect(await store.record(uid)).not.toHaveProperty('resize');
  });

  it('C7 record: where it disagrees with the file system, what the file system says wins', async () => {
    await using store = await openStore();
    const uid = await store.mounted(300 * MiB);
    const { tree, ...record } = await store.record(uid);
    // As if the power had gone between the resize and the record of it, twice.
    const stale = { fromBytes: 900 * MiB, toBytes: 700 * MiB };
    await saveRecord(store.layout, { ...record, ...(tree && { tree }), sizeBytes: 900 * MiB, resize: stale });
    await resizeVolume(store.storage, uid, 400 * MiB);
    expect(statSync(store.layout.imagePath(uid)).size).toBe(400 * MiB);
    const sizes = await store.record(uid);
    expect([sizes.sizeBytes, sizes.resize]).toEqual([400 * MiB, undefined]);
  });

  it('C10 createImage: when the record can not be saved the image is removed, and the error says why', async () => {
    await using store = await openStore();
    const uid = randomUUID();
    const identity = { uid, namespace: 'default', name: 'vol' };
    sh('chattr', '+i', store.layout.recordsPath);
    try {
      await expect(createImage(store.storage, identity, 256 * MiB)).rejects.toMatchObject({
        code: 'failed',
        message: expect.stringContaining(store.layout.recordPath(uid)),
      });
    } finally {
      sh('chattr', '-i', store.layout.recordsPath);
    }
    expect(readdirSync(store.layout.imagesPath)).toEqual([]);
    await createImage(store.storage, identity, 256 * MiB);
    expect(readdirSync(store.layout.imagesPath)).toEqual([`${uid}.img`]);
  });

  it('C19 bringUp: a format whose record can not be saved is no format; it is done again from zero', async () => {
    await using store = await openStore();
    const uid = await store.made();
    sh('chattr', '+i', store.layout.recordsPath);
    try {
      await expect(bringUp(store.storage, uid, SETTINGS)).rejects.toMatchObject({ code: 'failed' });
    } finally {
      sh('chattr', '-i', store.layout.recordsPath);
    }
    expect(await store.record(uid)).toMatchObject({ initialized: false });
    expect(loopsOf(store.layout.imagePath(uid))).toEqual([]);
    expect(readdirSync(store.layout.volumesPath)).toEqual([]);
    await bringUp(store.storage, uid, SETTINGS);
    expect(await store.record(uid)).toMatchObject({ initialized: true });
  });

  it('C1 openRoot: everything below the root is for root alone, also a root that was there with another mode', async () => {
    await using scratch = scratchDir();
    const storage = storageIn(scratch.dir);
    const { layout } = storage;
    sh('mkdir', '-p', '--mode=755', layout.rootPath, layout.imagesPath);
    await using root = await openRoot(storage).then(({ release }) => ({ [Symbol.asyncDispose]: release }));
    expect(root).toBeDefined();
    for (const dir of [layout.rootPath, layout.imagesPath, layout.recordsPath, layout.volumesPath]) {
      expect([dir, statSync(dir).mode & 0o777]).toEqual([dir, 0o700]);
    }
  });

  it('C1 createImage: the image is 0600, and one that exists is neither truncated nor made anew', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const imagePath = store.layout.imagePath(uid);
    expect(statSync(imagePath).mode & 0o777).toBe(0o600);
    writeFileSync(imagePath, 'precious');
    const { ino } = statSync(imagePath);
    const again = createImage(store.storage, { uid, namespace: 'default', name: 'vol' }, 512 * MiB);
    await expect(again).rejects.toMatchObject({ code: 'conflict' });
    expect([readFileSync(imagePath, 'utf8'), statSync(imagePath).ino]).toEqual(['precious', ino]);
  });
});
