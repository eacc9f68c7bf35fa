import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Pod } from '../../kube/resource-types.ts';
import { coalesced } from '../../storage/coalesce.ts';

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
