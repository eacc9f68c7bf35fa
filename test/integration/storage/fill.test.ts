import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { receiveConfined } from '../../../src/storage/snapshots/receive.ts';
import { openIncoming } from '../../../src/storage/streams/incoming-stream.ts';
import { strictStreamLimits } from '../../../src/storage/streams/validate-stream.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { exportImage } from '../../../src/storage/volumes/export.ts';
import { fillVolume, resizeUnfilled } from '../../../src/storage/volumes/fill.ts';
import { importImage } from '../../../src/storage/volumes/import-image.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { mountsBelow, sh } from '../recovery/host-view.ts';
import { makeShims, type Shims } from './shims.ts';
import { MiB, openStore, SETTINGS, type Store, scratchDir } from './store.ts';

const FROM_SOURCE = { ...SETTINGS, content: 'FromSource' } as const;
const NAMESPACE_UID = randomUUID();
const { signal } = new AbortController();
const nothing = () => undefined;

/** A send stream and an image with the same content, made beside the store. */
function makeSources(dir: string) {
  const content = randomBytes(2 * MiB);
  const [contentPath, imagePath, streamPath, mountPath] = ['content', 'image', 'stream', 'mnt'].map((name) =>
    path.join(dir, name),
  ) as [string, string, string, string];
  for (const each of [contentPath, mountPath]) mkdirSync(each);
  sh('truncate', '--size=256M', imagePath);
  sh('mkfs.btrfs', '--quiet', imagePath);
  sh('mount', '--options', 'loop', imagePath, mountPath);
  sh('btrfs', 'subvolume', 'create', path.join(mountPath, 'main'));
  sh('btrfs', 'subvolume', 'create', path.join(mountPath, '.btrfs-operator'));
  writeFileSync(path.join(mountPath, 'main/file'), content);
  sh('btrfs', 'subvolume', 'snapshot', '-r', path.join(mountPath, 'main'), path.join(mountPath, 'ro'));
  sh('btrfs', 'send', '--quiet', '-f', streamPath, path.join(mountPath, 'ro'));
  sh('btrfs', 'subvolume', 'set-default', path.join(mountPath, 'main'));
  sh('umount', mountPath);
  return { content, imagePath, streamPath };
}

type Sources = ReturnType<typeof makeSources>;

/** Everything of any volume that is on the machine because of this store. */
function leftOf({ layout, dir }: Store): readonly string[] {
  const areas = [layout.imagesPath, layout.recordsPath, layout.volumesPath, layout.exportsPath];
  const loops = sh('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE').split('\n');
  return [
    ...areas.flatMap((area) => readdirSync(area)),
    ...mountsBelow(layout.rootPath),
    ...loops.filter((line) => line.includes(dir)),
  ];
}

async function fillFromStream({ storage }: Store, uid: string, { streamPath }: Sources): Promise<void> {
  await bringUp(storage, uid, FROM_SOURCE);
  const incoming = await openIncoming(createReadStream(streamPath), strictStreamLimits, signal);
  await fillVolume(storage, uid, {
    owner: SETTINGS.owner,
    content: {
      neededBytes: () => Promise.resolve(undefined),
      incoming: (tree) => ({
        expectedUUID: incoming.summary.uuid,
        receive: receiveConfined(storage, tree, uid, { incoming, signal }),
      }),
    },
  });
}

async function fillFromImage({ storage }: Store, uid: string, { imagePath }: Sources): Promise<void> {
  const source = { path: imagePath, sha256: undefined };
  await importImage(storage, uid, source, { settings: FROM_SOURCE, sizeBytes: 300 * MiB, signal, onBytes: nothing });
}

async function exportOnce({ storage }: Store, uid: string): Promise<void> {
  await bringDown(storage, uid);
  const target = { namespaceUid: NAMESPACE_UID, file: 'base.img' };
  await exportImage(storage, uid, target, { signal, onProgress: nothing });
}

/** What these do not change can not be half done. */
const READING = /^(losetup --list|btrfs subvolume (list|show)|blkid)/;

/**
 * Strikes at each command of `work` that changes something in turn, and lets `round` look at what was left and then at what the next
 * run makes of it. One that fails after its work (`after`) does so at every other command: the rest is as in `before` the next.
 */
async function strikeEach(
  shims: Shims,
  work: () => Promise<void>,
  round: (strike: (nth: number) => void, nth: number) => Promise<void>,
  fault: 'before' | 'after',
): Promise<number> {
  shims.heal();
  await work();
  const changing = [...shims.ran().entries()].filter(([, command]) => !READING.test(command));
  const struck = fault === 'before' ? changing : changing.filter((_, position) => position % 2 === 0);
  for (const [index] of struck) {
    await round((nth) => (fault === 'before' ? shims.dieAt(nth) : shims.fail('.', { fault, nth })), index + 1);
  }
  return changing.length;
}

describe('a volume with a source', { timeout: 240_000 }, () => {
  const ways = [
    ['fillVolume', fillFromStream],
    ['importImage', fillFromImage],
  ] as const;
  it.each(ways.flatMap((way) => (['before', 'after'] as const).map((fault) => [way[0], fault, way[1]] as const)))(
    'C13 %s: broken off %s any command it is never half filled; the next run fills it, or removes all of it',
    async (_, fault, fill) => {
      await using scratch = scratchDir();
      const sources = makeSources(scratch.dir);
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const { storage, layout } = store;
      const first = await store.made();
      const commands = await strikeEach(
        shims,
        () => fill(store, first, sources),
        async (strike, nth) => {
          const uid = await store.made();
          strike(nth);
          await fill(store, uid, sources).catch(() => undefined);
          shims.heal();
          if (nth % 4 === 0) return void (await removeVolume(storage, uid));
          const { initialized } = await store.record(uid);
          if (!initialized) {
            await expect(storage.withTree(uid, () => Promise.resolve())).rejects.toMatchObject({ code: 'not-ready' });
            await fill(store, uid, sources);
          }
          await bringUp(storage, uid, FROM_SOURCE);
          const found = readFileSync(path.join(layout.dataPath(uid), 'file'));
          expect([nth, found.equals(sources.content)]).toEqual([nth, true]);
          const listed = sh('btrfs', 'subvolume', 'list', layout.volumePath(uid)).split('\n');
          expect([nth, listed.map((line) => line.replace(/.* /, '')).toSorted()]).toEqual([
            nth,
            ['.btrfs-operator', 'data'],
          ]);
          await removeVolume(storage, uid);
        },
        fault,
      );
      expect(commands).toBeGreaterThan(8);
      await removeVolume(storage, first);
      expect(leftOf(store)).toEqual([]);
    },
  );

  it('resizeUnfilled: what is there is given up; a whole volume is not touched', async () => {
    await using scratch = scratchDir();
    const sources = makeSources(scratch.dir);
    await using store = await openStore();
    const uid = await store.made();
    await bringUp(store.storage, uid, FROM_SOURCE);
    await resizeUnfilled(store.storage, uid, 400 * MiB);
    expect(await store.record(uid)).toMatchObject({ initialized: false, sizeBytes: 400 * MiB });
    await fillFromStream(store, uid, sources);
    await expect(resizeUnfilled(store.storage, uid, 500 * MiB)).rejects.toMatchObject({ code: 'conflict' });
    expect(await store.record(uid)).toMatchObject({ initialized: true, sizeBytes: 400 * MiB });
  });

  it('fillVolume: a source that fails leaves neither mount nor device', async () => {
    await using scratch = scratchDir();
    const sources = makeSources(scratch.dir);
    await using store = await openStore();
    const uid = await store.made();
    const cut = readFileSync(sources.streamPath).subarray(0, 100_000);
    writeFileSync(sources.streamPath, cut);
    await expect(fillFromStream(store, uid, sources)).rejects.toMatchObject({ reason: 'StreamRefused' });
    expect(mountsBelow(store.layout.rootPath)).toEqual([]);
  });
});

describe('exportImage', { timeout: 240_000 }, () => {
  it.each(['before', 'after'] as const)(
    'C13 exportImage: broken off %s any command there is no file or a whole one, the next run writes it, and all goes with the volume',
    async (fault) => {
      await using scratch = scratchDir();
      const shims = makeShims(scratch.dir);
      await using store = await openStore({ commandPath: shims.commandPath });
      const file = (uid: string) => path.join(store.layout.exportPath(NAMESPACE_UID, uid), 'base.img');
      const digest = (uid: string) =>
        createHash('sha256')
          .update(readFileSync(file(uid)))
          .digest('hex');
      const first = await store.mounted();
      await strikeEach(
        shims,
        () => exportOnce(store, first),
        async (strike, nth) => {
          const uid = await store.mounted();
          strike(nth);
          await exportOnce(store, uid).catch(() => undefined);
          shims.heal();
          const { done } = (await store.record(uid)).export ?? {};
          if (existsSync(file(uid)) && done !== undefined) expect(digest(uid)).toBe(done.sha256);
          if (nth % 3 !== 0) {
            await exportOnce(store, uid);
            expect(digest(uid)).toBe((await store.record(uid)).export?.done?.sha256);
            expect(readdirSync(path.dirname(file(uid)))).toEqual(['base.img']);
          }
          await bringUp(store.storage, uid, SETTINGS);
          await removeVolume(store.storage, uid);
        },
        fault,
      );
      await removeVolume(store.storage, first);
      expect(leftOf(store)).toEqual([]);
    },
  );
});
