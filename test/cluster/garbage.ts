import { type KubeObject, keyOf } from '../../src/kube/object.ts';
import type { ResourceClient } from '../../src/kube/resource-client.ts';

/**
 * What is left without its owner is deleted as the garbage collector of Kubernetes does it when an owner is absent: the control
 * plane of tests has no controller manager.
 */
export async function collectGarbageOf<T extends KubeObject>(
  client: ResourceClient<T>,
  owner: { readonly uid: string },
): Promise<void> {
  for (const object of await client.list({ namespace: 'default' })) {
    const { ownerReferences, uid } = object.metadata;
    if (ownerReferences?.some((reference) => reference.uid === owner.uid) !== true) continue;
    await client.delete(keyOf(object), { uid, propagationPolicy: 'Background' });
  }
}
