import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadRecord } from '../../../src/storage/records.ts';
import { findTreeOrphans } from '../../../src/storage/tree-orphans.ts';
import { adoptVolume } from '../../../src/storage/volumes/adopt.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { observeVolume } from '../../../src/storage/volumes/observe.ts';
import { findOrphans } from '../../../src/storage/volumes/orphans.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { removeOrphanedVolume } from '../../../src/storage/volumes/remove-orphaned.ts';
import { holdMount, loopsOf, mountsBelow, sh } from '../recovery/host-view.ts';
import { openStore, SETTINGS, type Store } from './store.ts';

/** What becomes of a record, by name; `newer` is what an agent of a later version would write. */
const damages = {
  garbage: () => 'x\0y',
  torn: (text: string) => text.slice(0, text.length / 2),
  'of a version that says nothing': () => '{"schemaVersion": 2}',
  newer: (text: string) => JSON.stringify({ ...JSON.parse(text), schemaVersion: 2, minimized: 'another type' }),
  "another volume's": (text: string) => JSON.stringify({ ...JSON.parse(text), uid: randomUUID() }),
} as const;

type Damage = keyof typeof damages;

/** A mounted volume with a file in it, whose record can't be read. */
async function damagedIn(store: Store, damage: Damage): Promise<string> {
  const uid = await store.mounted();
  writeFileSync(path.join(store.layout.dataPath(uid), 'file'), 'content');
  const recordPath = store.layout.recordPath(uid);
  writeFileSync(recordPath, damages[damage](readFileSync(recordPath, 'utf8')));
  return uid;
}

const leftOf = ({ layout }: Store) =>
  [layout.imagesPath, layout.recordsPath, layout.volumesPath].flatMap((area) => readdirSync(area));

describe('a record that can not be read', () => {
  it.each([
    ['garbage', removeVolume],
    ['newer', removeVolume],
    ["another volume's", removeVolume],
    ['of a version that says nothing', removeOrphanedVolume],
  ] as const)('F6 LoopbackVolume: with a record that is %s nothing is left of it', async (how, remove) => {
    await using store = await openStore();
    const uid = await damagedIn(store, how);
    mkdirSync(store.layout.exportPath(randomUUID(), uid), { recursive: true });
    expect(await remove(store.storage, uid)).toBe('removed');
    expect([leftOf(store), mountsBelow(store.layout.rootPath)]).toEqual([[], []]);
    expect(readdirSync(store.layout.exportsPath)).toEqual([]);
  });

  it('F6 LoopbackVolume: it is brought down, and again, with the record and all data left as they are', async () => {
    await using store = await openStore();
    const uid = await damagedIn(store, 'garbage');
    const imagePath = store.layout.imagePath(uid);
    await bringDown(store.storage, uid);
    await bringDown(store.storage, uid);
    expect([loopsOf(imagePath), mountsBelow(store.layout.rootPath)]).toEqual([[], []]);
    expect(leftOf(store)).toEqual([`${uid}.img`, `${uid}.json`]);
    expect(readFileSync(store.layout.recordPath(uid), 'utf8')).toBe(damages.garbage());
    expect(await removeVolume(store.storage, uid)).toBe('removed');
  });

  it('F6 LoopbackVolume: what is in use, or foreign, is left as with any record', async () => {
    await using store = await openStore();
    const uid = await damagedIn(store, 'torn');
    const loops = loopsOf(store.layout.imagePath(uid));
    {
      await using _holder = await holdMount(store.layout.volumePath(uid));
      await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
      expect(loopsOf(store.layout.imagePath(uid))).toEqual(loops);
    }
    await using other = await openStore();
    const foreign = await damagedIn(other, 'garbage');
    await bringDown(other.storage, foreign);
    sh('mkfs.ext4', '-q', '-F', other.layout.imagePath(foreign));
    await expect(removeVolume(other.storage, foreign)).rejects.toMatchObject({ code: 'foreign' });
    expect(leftOf(other)).toContain(`${foreign}.img`);
  });

  it('F6 LoopbackVolume: it stays mounted and usable, and the message says how to bring it back', async () => {
    await using store = await openStore();
    const uid = await damagedIn(store, 'newer');
    const mounts = mountsBelow(store.layout.rootPath);
    for (const verb of [
      observeVolume,
      (...[storage, of]: [typeof store.storage, string]) => bringUp(storage, of, SETTINGS),
    ])
      await expect(verb(store.storage, uid)).rejects.toMatchObject({ reason: 'RecordDamaged' });
    expect(mountsBelow(store.layout.rootPath)).toEqual(mounts);
    expect(await store.storage.withTree(uid, async (tree) => [...(await tree.list()).keys()])).toEqual(['data']);
    expect((await findTreeOrphans(store.storage, uid, () => new Set())).orphans).toEqual([]);
    writeFileSync(path.join(store.layout.dataPath(uid), 'more'), 'by a pod');
  });

  it('F6 LoopbackVolume: of a newer record the orphan has its name, and is adopted with all that is in it', async () => {
    await using store = await openStore();
    const uid = await damagedIn(store, 'newer');
    const { fields } = await fieldsOf(store, uid);
    writeFileSync(store.layout.recordPath(randomUUID()), '{}');
    const orphans = await findOrphans(store.storage, new Set());
    expect(orphans.find((orphan) => orphan.uid === uid)).toMatchObject({ namespace: 'default', name: 'vol' });
    const stranger = { uid: randomUUID(), namespace: 'elsewhere', name: 'vol' };
    await expect(adoptVolume(store.storage, stranger, uid)).rejects.toMatchObject({ reason: 'AdoptionRefused' });
    const heir = await expectAdopted(store, uid);
    const { schemaVersion: _, uid: __, minimized: ___, ...same } = fields;
    expect(await store.record(heir)).toEqual({ ...same, schemaVersion: 1, uid: heir });
  });

  it.each(['torn', "another volume's"] as const)(
    'F6 LoopbackVolume: of a record that is %s nobody knows whose it is; what the message says to write into it is enough',
    async (how) => {
      await using store = await openStore();
      const uid = await damagedIn(store, how);
      const refused = adoptVolume(store.storage, { uid: randomUUID(), namespace: 'default', name: 'vol' }, uid);
      await expect(refused).rejects.toMatchObject({ reason: 'RecordDamaged', message: expect.stringContaining(uid) });
      const { message } = (await refused.catch((error: unknown) => error)) as Error;
      const [identity = ''] = message.match(/\{.*\}/) ?? [];
      const text = identity.replace('<namespace>', 'default').replace('<name>', 'vol');
      writeFileSync(store.layout.recordPath(uid), text);
      await expect(loadRecord(store.layout, uid)).rejects.toThrow(`source.adopt.uid: ${uid}`);
      await expectAdopted(store, uid);
    },
  );

  it('F6 LoopbackVolume: an image that is not the one of the newer record is not adopted', async () => {
    await using store = await openStore();
    const [uid, other] = [await damagedIn(store, 'newer'), await store.mounted()];
    for (const each of [uid, other]) await bringDown(store.storage, each);
    renameSync(store.layout.imagePath(other), store.layout.imagePath(uid));
    const heir = { uid: randomUUID(), namespace: 'default', name: 'vol' };
    await expect(adoptVolume(store.storage, heir, uid)).rejects.toMatchObject({ reason: 'ForeignFilesystem' });
    await expect(removeVolume(store.storage, uid)).rejects.toMatchObject({ code: 'foreign' });
    expect(leftOf(store).filter((name) => name.includes(heir.uid))).toEqual([]);
  });

  it('F6 LoopbackVolume: one that was being filled from its source is no volume yet', async () => {
    await using store = await openStore();
    const uid = await store.made();
    await bringUp(store.storage, uid, { ...SETTINGS, content: 'FromSource' });
    const recordPath = store.layout.recordPath(uid);
    writeFileSync(recordPath, damages.newer(readFileSync(recordPath, 'utf8')));
    await expect(store.storage.withTree(uid, async () => {})).rejects.toMatchObject({ code: 'not-ready' });
    const heir = { uid: randomUUID(), namespace: 'default', name: 'vol' };
    await expect(adoptVolume(store.storage, heir, uid)).rejects.toMatchObject({ reason: 'AdoptionRefused' });
    expect(await removeVolume(store.storage, uid)).toBe('removed');
  });
});

async function fieldsOf(store: Store, uid: string) {
  return { fields: JSON.parse(readFileSync(store.layout.recordPath(uid), 'utf8')) as Record<string, unknown> };
}

/** The object is deleted with Retain, and made anew. */
async function expectAdopted(store: Store, uid: string): Promise<string> {
  const heir = { uid: randomUUID(), namespace: 'default', name: 'vol' };
  await bringDown(store.storage, uid);
  await adoptVolume(store.storage, heir, uid);
  expect(loopsOf(store.layout.imagePath(heir.uid))).toEqual([]);
  expect(leftOf(store)).not.toContain(`${uid}.json`);
  await bringUp(store.storage, heir.uid, SETTINGS);
  expect(readFileSync(path.join(store.layout.dataPath(heir.uid), 'file'), 'utf8')).toBe('content');
  return heir.uid;
}

describe('loop devices that the operator did not make', () => {
  /** Whether the device is marked to go when it is closed. */
  const isMarked = (loop: string) => sh('losetup', '--noheadings', '--output', 'AUTOCLEAR', loop) === '1';

  it.each([
    ['without a record', bringDown, (store: Store, uid: string) => sh('rm', store.layout.recordPath(uid))],
    ['without a record, deleted', removeVolume, (store: Store, uid: string) => sh('rm', store.layout.recordPath(uid))],
    ['that was brought down', bringDown, () => {}],
    ['that was brought down, deleted', removeVolume, () => {}],
    [
      'with a torn record',
      removeVolume,
      (store: Store, uid: string) => writeFileSync(store.layout.recordPath(uid), '{'),
    ],
  ] as const)('F19 LoopbackVolume: on an image %s it is neither detached nor marked', async (_, verb, change) => {
    await using store = await openStore();
    const uid = await store.mounted();
    await bringDown(store.storage, uid);
    change(store, uid);
    const imagePath = store.layout.imagePath(uid);
    const loop = sh('losetup', '--find', '--show', imagePath);
    const reader = spawn('sh', ['-c', `exec 3<${loop}; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => reader.stdout.once('data', resolve));
      for (let turn = 0; turn < 2; turn++) {
        await expect(verb(store.storage, uid)).rejects.toMatchObject({
          reason: 'StillInUse',
          message: expect.stringContaining(`${loop}, not by the operator; detach it with losetup --detach`),
        });
      }
      expect([loopsOf(imagePath), isMarked(loop)]).toEqual([[loop], false]);
    } finally {
      reader.kill('SIGKILL');
    }
    sh('losetup', '--detach', loop);
  });

  it('F19 LoopbackVolume: one beside the device of the volume stays, however often the volume is taken down', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    const imagePath = store.layout.imagePath(uid);
    const byHand = sh('losetup', '--find', '--show', imagePath);
    for (const verb of [removeVolume, bringDown, removeVolume])
      await expect(verb(store.storage, uid)).rejects.toMatchObject({ reason: 'StillInUse' });
    expect(loopsOf(imagePath)).toEqual([byHand]);
    sh('losetup', '--detach', byHand);
    expect(await removeVolume(store.storage, uid)).toBe('removed');
  });
});
