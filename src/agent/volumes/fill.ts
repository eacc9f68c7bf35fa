import type { Download } from '../../api/download.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { StorageError } from '../../storage/errors.ts';
import { openImportFile } from '../../storage/imports.ts';
import { bringUp } from '../../storage/volumes/bring-up.ts';
import { fillVolume, refuseToFill, resizeUnfilled, sourceDoesNotFit } from '../../storage/volumes/fill.ts';
import { type ImageSource, importImage } from '../../storage/volumes/import-image.ts';
import { observePlace } from '../../storage/volumes/observe.ts';
import { type ContentOptions, type FillOptions, withContent } from './content.ts';
import type { Wish } from './wish.ts';

/**
 * The volume has the content of spec.source, whole, or nothing of it. Throws `not-ready` with a reason while that is not there, and
 * `out-of-space` (HostPressure) when the node has no room for it.
 */
export async function fill(
  options: ContentOptions,
  volume: LoopbackVolume,
  wish: Wish,
  { signal, onBytes }: FillOptions,
): Promise<void> {
  const { metadata, spec } = volume;
  const { image } = spec.source ?? {};
  if (image !== undefined && options.imageSources === 'Off') throw imagesNotAllowed();
  const { namespace = '' } = metadata;
  const neededBytes =
    image?.file === undefined ? 0 : await allocatedBytesOf(options.storage.layout, namespace, image.file);
  await options.room.use({ name: metadata.uid, into: 'Image', neededBytes, signal }, (room) =>
    fillInRoom(options, volume, wish, {
      signal: room.signal,
      onBytes(bytes) {
        room.onBytes(bytes);
        onBytes(bytes);
      },
    }),
  );
}

async function fillInRoom(
  options: ContentOptions,
  volume: LoopbackVolume,
  wish: Wish,
  fillOptions: FillOptions,
): Promise<void> {
  const { uid } = volume.metadata;
  const { storage } = options;
  const { settings, sizeBytes } = wish;
  const { signal } = fillOptions;
  const { image } = volume.spec.source ?? {};
  if (image !== undefined) {
    await withImage(options, volume, image, { signal, sizeBytes }, (source) =>
      importImage(storage, uid, source, { settings, sizeBytes, ...fillOptions }),
    );
    return;
  }
  await withContent(options, volume, fillOptions, async (content) => {
    refuseToFill(content, { bytes: sizeBytes, compression: settings.compression });
    if ((await observePlace(storage, uid)).image?.sizeBytes !== sizeBytes) {
      await resizeUnfilled(storage, uid, sizeBytes, signal);
    }
    await bringUp(storage, uid, settings, signal);
    await fillVolume(storage, uid, { owner: settings.owner, content }, signal);
  });
}

/** What a copy of the file takes on the node. */
async function allocatedBytesOf(...where: Parameters<typeof openImportFile>): Promise<number> {
  const { file, allocatedBytes } = await openImportFile(...where);
  await file.close();
  return allocatedBytes;
}

async function withImage(
  { storage, openContent }: ContentOptions,
  { metadata: { namespace = '' } }: LoopbackVolume,
  wanted: Download,
  { signal, sizeBytes }: Pick<FillOptions, 'signal'> & Pick<Wish, 'sizeBytes'>,
  use: (source: ImageSource) => Promise<void>,
): Promise<void> {
  if (wanted.file === undefined) {
    const { stream, totalBytes } = await openContent(namespace, wanted, signal);
    try {
      if (totalBytes !== undefined && totalBytes > sizeBytes) throw sourceDoesNotFit(totalBytes, sizeBytes);
      await use({ stream });
    } finally {
      stream.destroy();
    }
    return;
  }
  const { file, path } = await openImportFile(storage.layout, namespace, wanted.file);
  await file.close();
  await use({ path, sha256: wanted.sha256 });
}

function imagesNotAllowed(): StorageError {
  return new StorageError(
    'refused',
    'images from outside are not allowed on this node; its administrator may allow them with --image-sources=On',
    { reason: 'ImageRefused' },
  );
}
