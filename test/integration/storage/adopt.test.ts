import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveRecord, type VolumeRecord } from '../../../src/storage/records.ts';
import { adoptVolume, finishAdoption } from '../../../src/storage/volumes/adopt.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { findOrphans } from '../../../src/storage/volumes/orphans.ts';
import { removeOrphanedVolume } from '../../../src/storage/volumes/remove-orphaned.ts';
import { holdMount } from '../recovery/host-view.ts';
import { openStore, SETTINGS, type Store } from './store.ts';

const namespaceUid = randomUUID();

interface Scene {
  readonly store: Store;
  readonly record: VolumeRecord;
  readonly heir: { readonly uid: string; readonly namespace: string; readonly name: string };
}

/** A volume with a file and an export, down, and the identity of who is to have it. */
async function sceneIn(store: Store): Promise<Scene> {
  const uid = await store.mounted();
  writeFileSync(path.join(store.layout.dataPath(uid), 'file'), 'content');
  await bringDown(store.storage, uid);
  const record = { ...(await store.record(uid)), export: { namespaceUid, file: 'base.img' } };
  await saveRecord(store.layout, record);
  const exportPath = store.layout.exportPath(namespaceUid, uid);
  mkdirSync(exportPath, { recursive: true });
  writeFileSync(path.join(exportPath, 'base.img'), 'exported');
  return { store, record, heir: { uid: randomUUID(), namespace: 'default', name: 'vol' } };
}

async function expectAdopted({ store, record, heir }: Scene): Promise<void> {
  const { layout, storage } = store;
  expect(readdirSync(layout.imagesPath)).toEqual([`${heir.uid}.img`]);
  expect(readdirSync(layout.recordsPath)).toEqual([`${heir.uid}.json`]);
  expect(readdirSync(path.join(layout.exportsPath, namespaceUid))).toEqual([heir.uid]);
  expect(await store.record(heir.uid)).toEqual({ ...record, uid: heir.uid });
  await bringUp(storage, heir.uid, SETTINGS);
  expect(readFileSync(path.join(layout.dataPath(heir.uid), 'file'), 'utf8')).toBe('content');
}

/** What each step of an adoption leaves, in order. */
const steps: readonly (readonly [title: string, step: (scene: Scene) => Promise<void> | void])[] = [
  [
    'the new record',
    ({ store, record, heir }) => saveRecord(store.layout, { ...record, uid: heir.uid, adopting: record.uid }),
  ],
  [
    'the image',
    ({ store: { layout }, record, heir }) => renameSync(layout.imagePath(record.uid), layout.imagePath(heir.uid)),
  ],
  [
    'the exports',
    ({ store: { layout }, record, heir }) =>
      renameSync(layout.exportPath(namespaceUid, record.uid), layout.exportPath(namespaceUid, heir.uid)),
  ],
  ['the old record', ({ store: { layout }, record }) => rmSync(layout.recordPath(record.uid))],
];

describe('adoptVolume: broken off at any step', () => {
  const rows = steps.flatMap(([title], index) => [
    { title, taken: index + 1, how: 'adopted again' },
    { title, taken: index + 1, how: 'finished' },
  ]);
  it.each(rows)('C8 adoptVolume: after $title, $how', async ({ taken, how }) => {
    await using store = await openStore();
    const scene = await sceneIn(store);
    for (const [, step] of steps.slice(0, taken)) await step(scene);
    if (how === 'finished') await finishAdoption(store.storage, scene.heir.uid);
    else await adoptVolume(store.storage, scene.heir, scene.record.uid);
    await expectAdopted(scene);
  });

  it.each([0, 1, 2, 3, 4])(
    'C8 adoptVolume: %i steps were taken for one who is gone: nothing is lost, another one adopts that',
    async (taken) => {
      await using store = await openStore();
      const scene = await sceneIn(store);
      const gone = { ...scene, heir: { ...scene.heir, uid: randomUUID() } };
      for (const [, step] of steps.slice(0, taken)) await step(gone);
      const listed = await findOrphans(store.storage, new Set());
      expect(listed.some(({ bytes = 0, name }) => bytes > 0 && name === 'vol')).toBe(true);
      const from = taken === 0 ? scene.record.uid : gone.heir.uid;
      await adoptVolume(store.storage, scene.heir, from);
      await expectAdopted(scene);
    },
  );
});

describe('adoptVolume: what is refused changes nothing', () => {
  const filesOf = (store: Store) => [readdirSync(store.layout.imagesPath), readdirSync(store.layout.recordsPath)];

  it('C2 adoptVolume: the record has to name the kind, namespace and name', async () => {
    await using store = await openStore();
    const { heir, record } = await sceneIn(store);
    const files = filesOf(store);
    for (const [other, text] of [
      [{ ...heir, name: 'other' }, 'its record names LoopbackVolume "vol"'],
      [{ ...heir, namespace: 'elsewhere' }, 'its record names another namespace'],
    ] as const) {
      await expect(adoptVolume(store.storage, other, record.uid)).rejects.toMatchObject({
        code: 'refused',
        reason: 'AdoptionRefused',
        message: expect.stringContaining(text),
      });
    }
    await expect(adoptVolume(store.storage, heir, randomUUID())).rejects.toMatchObject({ reason: 'OrphanNotFound' });
    expect(filesOf(store)).toEqual(files);
  });

  it('C2 adoptVolume: what was broken off is not gone on with for a stranger', async () => {
    await using store = await openStore();
    const scene = await sceneIn(store);
    const gone = randomUUID();
    await saveRecord(store.layout, { ...scene.record, uid: gone, adopting: scene.record.uid });
    const files = filesOf(store);
    const stranger = { ...scene.heir, namespace: 'elsewhere' };
    await expect(adoptVolume(store.storage, stranger, gone)).rejects.toMatchObject({ reason: 'AdoptionRefused' });
    expect(filesOf(store)).toEqual(files);
  });

  it.each([2, 3, 4])(
    'C8 adoptVolume: of whom %i steps were taken for one who is gone, it says who has the image now',
    async (taken) => {
      await using store = await openStore();
      const scene = await sceneIn(store);
      const gone = { ...scene, heir: { ...scene.heir, uid: randomUUID() } };
      for (const [, step] of steps.slice(0, taken)) await step(gone);
      writeFileSync(store.layout.recordPath(randomUUID()), 'torn, of another one');
      const files = filesOf(store);
      await expect(adoptVolume(store.storage, scene.heir, scene.record.uid)).rejects.toMatchObject({
        reason: 'AdoptionRefused',
        message: expect.stringContaining(`source.adopt.uid: ${gone.heir.uid}`),
      });
      expect(filesOf(store)).toEqual(files);
      const stranger = { ...scene.heir, name: 'other' };
      await expect(adoptVolume(store.storage, stranger, scene.record.uid)).rejects.toMatchObject({
        code: 'refused',
        message: expect.not.stringContaining(gone.heir.uid),
      });
    },
  );

  it('C2 removeOrphanedVolume: a record that can not be read now is not taken for none', async () => {
    await using store = await openStore();
    const uid = await store.made();
    rmSync(store.layout.recordPath(uid));
    mkdirSync(store.layout.recordPath(uid));
    await expect(removeOrphanedVolume(store.storage, uid)).rejects.toMatchObject({ code: 'failed' });
    expect(readdirSync(store.layout.imagesPath)).toEqual([`${uid}.img`]);
  });

  it('C4 adoptVolume: one that was never finished holds nothing', async () => {
    await using store = await openStore();
    const uid = await store.made();
    const heir = { uid: randomUUID(), namespace: 'default', name: 'vol' };
    await expect(adoptVolume(store.storage, heir, uid)).rejects.toMatchObject({ reason: 'AdoptionRefused' });
    expect(readdirSync(store.layout.imagesPath)).toEqual([`${uid}.img`]);
  });

  it.each(['whole', 'without a record'])('C8 removeOrphanedVolume: %s it is removed once', async (how) => {
    await using store = await openStore();
    const uid = await store.made();
    if (how !== 'whole') rmSync(store.layout.recordPath(uid));
    expect(await removeOrphanedVolume(store.storage, uid)).toBe('removed');
    expect(filesOf(store)).toEqual([[], []]);
    expect(await removeOrphanedVolume(store.storage, uid)).toBe('was gone already');
  });

  it('C2 removeOrphanedVolume: with a record that is torn only what is not in use goes', async () => {
    await using store = await openStore();
    const uid = await store.mounted();
    writeFileSync(store.layout.recordPath(uid), '{"schemaVersion": 1,');
    {
      await using _holder = await holdMount(store.layout.volumePath(uid));
      await expect(removeOrphanedVolume(store.storage, uid)).rejects.toMatchObject({ code: 'in-use' });
    }
    expect(readdirSync(store.layout.imagesPath)).toEqual([`${uid}.img`]);
  });
});
