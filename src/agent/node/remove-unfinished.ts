import type { KubeObject } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { attempt, type Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { removeReceiving } from '../../storage/snapshots/receiving-mount.ts';
import { removeStaging } from '../../storage/staged-subvolume.ts';
import type { Tree } from '../../storage/tree.ts';
import { removeUnfinishedExports } from '../../storage/volumes/export.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import type { OrphanWatch } from './orphans.ts';

export interface UnfinishedOptions {
  readonly storage: Storage;
  /** Of every kind that can have data; asked anew each time. */
  readonly clients: Readonly<Record<OrphanData['kind'], Pick<ResourceClient<KubeObject>, 'list'>>>;
  readonly orphans: Pick<OrphanWatch, 'unfinished' | 'look'>;
}

/**
 * Unfinished work for an object that is gone is gone too, in volumes and under exports/: nobody was ever given it, so nobody is asked.
 * All objects are read anew first, of every kind: the object was there before its work, so one that is not there now has none. Safe
 * to repeat; what is left after a broken run is found again.
 */
export async function removeUnfinished(
  { storage, clients, orphans }: UnfinishedOptions,
  uid: string,
  signal: AbortSignal,
): Promise<Outcome> {
  const volumeUids = orphans.unfinished().get(uid);
  if (volumeUids === undefined) return settled;
  const objects = await Promise.all(Object.values(clients).map((client) => client.list({ signal })));
  if (objects.flat().some(({ metadata }) => metadata.uid === uid)) return settled;
  for (const volumeUid of volumeUids) {
    const work = async (tree: Tree) => {
      await removeReceiving(storage, storage.layout.receivingPath(uid));
      if ((await removeStaging(tree, uid)) === 'in use') {
        throw new StorageError('in-use', `unfinished work for ${uid} is mounted; unmount it`, { reason: 'InUse' });
      }
    };
    await attempt('remove unfinished work', () => storage.withTree(volumeUid, work));
    orphans.look(volumeUid);
  }
  await removeUnfinishedExports(storage, uid, signal);
  return settledAfter('removed unfinished work');
}
