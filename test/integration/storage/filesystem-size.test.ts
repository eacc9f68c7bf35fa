import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSuperblock } from '../../../src/host/superblock.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { importImage } from '../../../src/storage/volumes/import-image.ts';
import { observeVolume } from '../../../src/storage/volumes/observe.ts';
import { resizeVolume } from '../../../src/storage/volumes/resize.ts';
import { writeFiles } from '../volumes/files.ts';
import { MiB, openStore, SETTINGS, type Store } from './store.ts';

const sh = (file: string, ...args: string[]) => execFileSync(file, args, { stdio: 'pipe', encoding: 'utf8' });

/** Sizes as file, superblock and observation tell them. */
async function sizesOf({ storage, layout }: Store, uid: string) {
  const { tree } = await observeVolume(storage, uid);
  const image = layout.imagePath(uid);
  return [statSync(image).size, (await readSuperblock(image))?.totalBytes, tree?.filesystemSizeBytes];
}

describe('the size of a filesystem', () => {
  it('F1 is told by its superblock: a volume whose data was converted to dup keeps its size and every byte', async () => {
    await using store = await openStore();
    const { storage, layout } = store;
    const uid = await store.mounted(600 * MiB);
    const files = writeFiles(layout.dataPath(uid), 'files', 12, 10);
    sh('btrfs', 'balance', 'start', '--force', '-dconvert=dup', layout.volumePath(uid));
    expect(await sizesOf(store, uid)).toEqual(Array(3).fill(600 * MiB));
    // Two copies: what is free holds half as much.
    for (const size of [800, 700, 600]) {
      await resizeVolume(storage, uid, size * MiB);
      expect(await sizesOf(store, uid)).toEqual(Array(3).fill(size * MiB));
    }
    await bringDown(storage, uid);
    await bringUp(storage, uid, SETTINGS);
    expect(files.damaged(layout.dataPath(uid))).toEqual([]);
    expect(sh('btrfs', 'scrub', 'start', '-B', '--', layout.volumePath(uid))).toContain('no errors found');
  });

  it.each([
    ['data of profile dup', ['--data', 'dup', '--metadata', 'dup'], 300 * MiB, /its data is dup.*-dconvert=single/],
    ['mixed block groups', ['--mixed'], 300 * MiB, /mixed.*without mkfs.btrfs --mixed/],
    ['sectors that the size is no multiple of', [], 300 * MiB + 4096, /sectors have 16384 bytes/],
  ])('F1 of an image with %s is none that a volume can have: it is refused', async (_, args, sizeBytes, message) => {
    await using store = await openStore();
    const file = path.join(store.dir, 'image');
    writeFileSync(file, '');
    sh('truncate', '--size=280M', file);
    const sectors = args.length === 0 ? ['--sectorsize=16384'] : [];
    sh('mkfs.btrfs', '--quiet', ...args, ...sectors, file);
    const uid = await store.made(sizeBytes);
    const { signal } = new AbortController();
    const settings = { ...SETTINGS, content: 'FromSource' } as const;
    const options = { settings, sizeBytes, signal, onBytes: () => undefined };
    await expect(importImage(store.storage, uid, { path: file, sha256: undefined }, options)).rejects.toMatchObject({
      code: 'refused',
      reason: 'ImageRefused',
      message: expect.stringMatching(message),
    });
    expect((await store.record(uid)).initialized).toBe(false);
  });
});
