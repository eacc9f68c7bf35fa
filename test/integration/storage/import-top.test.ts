import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { readUsage } from '../../../src/storage/volumes/glance.ts';
import { importImage } from '../../../src/storage/volumes/import-image.ts';
import { sh } from '../recovery/host-view.ts';
import { MiB, openStore, SETTINGS } from './store.ts';

it('F7 LoopbackVolume: of an image whose default subvolume is its top nothing stays out of sight', async () => {
  await using store = await openStore();
  const { storage, layout } = store;
  const [image, mount] = [path.join(store.dir, 'golden.img'), path.join(store.dir, 'golden')];
  mkdirSync(mount);
  writeFileSync(image, '');
  sh('truncate', '--size=200M', image);
  sh('mkfs.btrfs', '--quiet', image);
  sh('mount', '-o', 'loop', image, mount);
  writeFileSync(path.join(mount, 'big'), randomBytes(60 * MiB));
  mkdirSync(path.join(mount, 'sealed/-rf'), { recursive: true });
  writeFileSync(path.join(mount, 'sealed/-rf/file'), 'x');
  sh('btrfs', 'subvolume', 'create', path.join(mount, 'sealed/nested'));
  sh('ln', '--symbolic', '/', path.join(mount, 'link'));
  sh('chattr', '-R', '+i', path.join(mount, 'sealed/-rf'));
  sh('umount', mount);

  const uid = await store.made(256 * MiB);
  const settings = { ...SETTINGS, content: 'FromSource' } as const;
  const { signal } = new AbortController();
  const options = { settings, sizeBytes: 256 * MiB, signal, onBytes: () => undefined };
  await importImage(storage, uid, { path: image, sha256: undefined }, options);
  await bringUp(storage, uid, settings);
  const data = layout.dataPath(uid);
  expect(readdirSync(data).toSorted()).toEqual(['big', 'link', 'sealed']);
  const used = async () => {
    sh('btrfs', 'filesystem', 'sync', layout.volumePath(uid));
    const { filesystemUUID } = await store.record(uid);
    return (await readUsage(storage, { uid, filesystemUUID, sizeBytes: 256 * MiB }))?.usedBytes ?? 0;
  };
  expect(await used()).toBeGreaterThan(60 * MiB);
  sh('rm', path.join(data, 'big'));
  await expect.poll(used).toBeLessThan(20 * MiB);
});
