import type { Snapshot } from '../../api/snapshot.ts';
import type { RoomForContent } from '../../storage/content-room.ts';
import { readRoom } from '../../storage/volumes/glance.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { volumeOf } from './relations.ts';

/** What the volume of this Snapshot has left for what is received. */
export async function roomIn(
  { storage, volumes }: Pick<SnapshotReconcilerOptions, 'storage' | 'volumes'>,
  snapshot: Snapshot,
): Promise<RoomForContent | undefined> {
  const { metadata, spec } = volumeOf(volumes, snapshot);
  const room = await readRoom(storage, metadata.uid);
  return room === undefined ? undefined : { bytes: room.freeBytes, compression: spec.compression };
}
