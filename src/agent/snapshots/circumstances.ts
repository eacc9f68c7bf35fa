import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { importVersion } from '../../storage/imports.ts';
import type { Tree } from '../../storage/tree.ts';
import { readRoom } from '../../storage/volumes/glance.ts';
import { type Circumstances, wordsIn } from '../vain-tries.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import type { Source } from './source.ts';

/** More free space than at the refusal by this part of the size, and by this much, makes another try worth its work. */
const FREED_PART = 0.01;
/** The figures of btrfs move by some MiB with each commit. */
const FREED_BYTES = 16 * 1024 ** 2;

/** What receiving this Snapshot depends on. What a server has at a url is not known without asking it. */
export async function circumstancesOf(
  { storage }: Pick<SnapshotReconcilerOptions, 'storage'>,
  snapshot: Snapshot,
  volume: LoopbackVolume,
  source: Source,
  tree: Tree,
): Promise<Circumstances> {
  const { namespace = '' } = snapshot.metadata;
  const room = await readRoom(storage, volume.metadata.uid);
  const readOnly = await tree.listReadOnly();
  return {
    given: {
      words: wordsIn(snapshot),
      sizeBytes: room?.sizeBytes,
      source: await versionOf(storage, namespace, source),
    },
    room: room === undefined ? undefined : { freeBytes: room.freeBytes, stepBytes: stepOf(room.sizeBytes) },
    parents: [...readOnly.values()].map(({ uuid }) => uuid).sort(),
  };
}

function stepOf(sizeBytes: number): number {
  return Math.max(FREED_BYTES, FREED_PART * sizeBytes);
}

async function versionOf(
  { layout }: SnapshotReconcilerOptions['storage'],
  namespace: string,
  source: Source,
): Promise<unknown> {
  if (source.kind === 'elsewhere') return [source.parent.metadata.uid, source.parent.status.uuid];
  if (source.kind !== 'stream' || source.stream.file === undefined) return source.kind;
  return await importVersion(layout, namespace, source.stream.file);
}
