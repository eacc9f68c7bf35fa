import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Pod } from '../../kube/resource-types.ts';
import { coalesced } from '../../storage/coalesce.ts';
import type { Storage } from '../../storage/context.ts';
import { isAboutUsers, type Refusal } from '../refusal.ts';

const MAX_NAMED = 10;

/** Names (`namespace/name`) of the pods of this node that mount something at or below a path, ten at most, in order. */
export type PodsUsing = (path: string) => Promise<readonly string[]>;

export function createPodsUsing(pods: ResourceClient<Pod>, nodeName: string): PodsUsing {
  const fieldSelector = `spec.nodeName=${nodeName},status.phase!=Succeeded,status.phase!=Failed`;
  const list = coalesced<void, Pod[]>(() => pods.list({ fieldSelector }));
  return async (path) => {
    return (await list())
      .filter((pod) =>
        pod.spec?.volumes?.some(({ hostPath }) => hostPath !== undefined && isAtOrBelow(hostPath.path, path)),
      )
      .map(keyOf)
      .sort()
      .slice(0, MAX_NAMED);
  };
}

function isAtOrBelow(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}/`);
}

/** A refusal for the sake of who uses the volume names the pods that do. */
export async function namingPods<R extends Refusal>(
  { podsUsing, storage }: { readonly podsUsing: PodsUsing; readonly storage: Pick<Storage, 'layout'> },
  uid: string,
  refusal: R,
): Promise<R> {
  if (!isAboutUsers(refusal)) return refusal;
  const pods = await podsUsing(storage.layout.volumePath(uid));
  return pods.length === 0 ? refusal : { ...refusal, message: `${refusal.message}. Pods: ${pods.join(', ')}` };
}
