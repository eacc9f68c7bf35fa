import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import { StorageError } from '../../storage/errors.ts';
import { adoptVolume } from '../../storage/volumes/adopt.ts';
import type { VolumeReconcilerOptions } from './options.ts';

type AdoptOptions = Pick<VolumeReconcilerOptions, 'client' | 'storage' | 'content' | 'podsUsing'>;

/**
 * The volume has what was on the node for another uid. The object is read anew first (rule 8): as long as it exists there is no
 * other of its namespace and name, which the record has to name, so nobody else has that data.
 */
export async function adopt(
  { client, storage, content, podsUsing }: AdoptOptions,
  { metadata, ...volume }: LoopbackVolume,
  orphanUid: string,
  signal: AbortSignal,
): Promise<void> {
  const { uid, namespace = '', name } = metadata;
  const fresh = await client.get(keyOf({ metadata }), { signal });
  if (fresh?.metadata.uid !== uid || fresh.metadata.deletionTimestamp !== undefined) {
    throw new StorageError('not-ready', `${volume.kind} ${name} is being deleted or was made anew`, {
      reason: 'Pending',
    });
  }
  if ([...content.volumes.values()].some((other) => other.metadata.uid === orphanUid)) {
    throw new StorageError(
      'refused',
      `${orphanUid} is the uid of an object that exists, so its data is not taken over`,
      {
        reason: 'AdoptionRefused',
      },
    );
  }
  await adoptVolume(storage, { uid, namespace, name }, orphanUid, signal).catch(async (error: unknown) => {
    if (!(error instanceof StorageError) || error.code !== 'in-use') throw error;
    const pods = await podsUsing(storage.layout.volumePath(orphanUid));
    if (pods.length === 0) throw error;
    const { code, message, reason = 'InUse' } = error;
    throw new StorageError(code, `${message}. Pods: ${pods.join(', ')}`, { reason, cause: error });
  });
}
