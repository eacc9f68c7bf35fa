import type { KubeObject } from '../kube/object.ts';
import { keyOf } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resource-client.ts';
import { StorageError } from '../storage/errors.ts';
import { homePath, type TreeKind } from '../storage/layout.ts';
import type { Tree } from '../storage/tree.ts';
import type { Cached } from './snapshots/options.ts';
import type { PodsUsing } from './volumes/users.ts';

export interface Adoption<T extends KubeObject> {
  /** Who wants it. */
  readonly object: T;
  readonly tree: Tree;
  readonly orphanUid: string;
  readonly kind: TreeKind;
}

/**
 * Nobody has what is in the volume for `orphanUid`, and the object that wants it is there. It is read anew (rule 8): as long as it
 * exists there is no other of its namespace and name, which the record has to name. Throws `refused` or `in-use` otherwise.
 */
export async function proveOrphan<T extends KubeObject>(
  { client, podsUsing }: { readonly client: Pick<ResourceClient<T>, 'get'>; readonly podsUsing: PodsUsing },
  known: Cached<T>,
  { object, tree, orphanUid, kind }: Adoption<T>,
): Promise<void> {
  const fresh = await client.get(keyOf(object));
  if (fresh?.metadata.uid !== object.metadata.uid || fresh.metadata.deletionTimestamp !== undefined) {
    throw new StorageError('not-ready', 'the object is being deleted or was made anew', { reason: 'Pending' });
  }
  if ([...known.values()].some(({ metadata }) => metadata.uid === orphanUid)) {
    const message = `${orphanUid} is the uid of an object that exists, so its data is not taken over`;
    throw new StorageError('refused', message, { reason: 'AdoptionRefused' });
  }
  const pods = await podsUsing(`${tree.path}/${homePath(kind, orphanUid)}`);
  if (pods.length > 0) {
    throw new StorageError('in-use', `pods have it mounted: ${pods.join(', ')}; stop them`, { reason: 'InUse' });
  }
}
