import { randomBytes, randomUUID } from 'node:crypto';
import { createReadStream, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { receiveConfined } from '../../../src/storage/snapshots/receive.ts';
import { openIncoming } from '../../../src/storage/streams/incoming-stream.ts';
import { strictStreamLimits } from '../../../src/storage/streams/validate-stream.ts';
import { bringDown } from '../../../src/storage/volumes/bring-down.ts';
import { bringUp } from '../../../src/storage/volumes/bring-up.ts';
import { exportImage } from '../../../src/storage/volumes/export.ts';
import { fillVolume } from '../../../src/storage/volumes/fill.ts';
import { importImage } from '../../../src/storage/volumes/import-image.ts';
import { mountsBelow, sh } from '../recovery/host-view.ts';
import { MiB, SETTINGS, type Store } from './store.ts';

export const FROM_SOURCE = { ...SETTINGS, content: 'FromSource' } as const;
export const NAMESPACE_UID = randomUUID();
const { signal } = new AbortController();
const nothing = () => undefined;

/** A send stream and an image with the same content, made beside the store. */
export function makeSources(dir: string) {
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

export type Sources = ReturnType<typeof makeSources>;

/** Everything of any volume that is on the machine because of this store. */
export function leftOf({ layout, dir }: Store): readonly string[] {
  const areas = [layout.imagesPath, layout.recordsPath, layout.volumesPath, layout.exportsPath];
  const loops = sh('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE').split('\n');
  return [
    ...areas.flatMap((area) => readdirSync(area)),
    ...mountsBelow(layout.rootPath),
    ...loops.filter((line) => line.includes(dir)),
  ];
}

export async function fillFromStream({ storage }: Store, uid: string, { streamPath }: Sources): Promise<void> {
  await bringUp(storage, uid, FROM_SOURCE);
  const incoming = await openIncoming(createReadStream(streamPath), strictStreamLimits, signal);
  await fillVolume(storage, uid, {
    owner: SETTINGS.owner,
    content: {
      neededBytes: undefined,
      incoming: (tree) => ({
        expectedUUID: incoming.summary.uuid,
        receive: receiveConfined(storage, tree, uid, { incoming, signal }),
      }),
    },
  });
}

export async function fillFromImage({ storage }: Store, uid: string, { imagePath }: Sources): Promise<void> {
  const source = { path: imagePath, sha256: undefined };
  await importImage(storage, uid, source, { settings: FROM_SOURCE, sizeBytes: 300 * MiB, signal, onBytes: nothing });
}

export async function exportOnce({ storage }: Store, uid: string): Promise<void> {
  await bringDown(storage, uid);
  const target = { namespaceUid: NAMESPACE_UID, file: 'base.img' };
  await exportImage(storage, uid, target, { signal, onProgress: nothing });
}
