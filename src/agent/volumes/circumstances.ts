import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { importVersion } from '../../storage/imports.ts';
import { type Circumstances, wordsIn } from '../vain-tries.ts';
import type { ContentOptions } from './content.ts';

/** What filling this volume depends on; its size is in its spec. What a server has at a url is not known without asking it. */
export async function circumstancesOf(
  { storage, snapshots, snapshotClient }: Pick<ContentOptions, 'storage' | 'snapshots' | 'snapshotClient'>,
  volume: LoopbackVolume,
): Promise<Circumstances> {
  const { metadata, spec } = volume;
  const { namespace = '' } = metadata;
  const words = wordsIn(volume);
  const { snapshotRef, stream, image } = spec.source ?? {};
  const file = stream?.file ?? image?.file;
  if (file !== undefined) {
    return { given: { words, source: await importVersion(storage.layout, namespace, file) } };
  }
  if (snapshotRef === undefined) return { given: { words } };
  const key = `${namespace}/${snapshotRef.name}`;
  const snapshot = snapshots.get(key) ?? (await snapshotClient.get(key));
  return { given: { words, source: [snapshot?.metadata.uid, snapshot?.status.uuid] } };
}
