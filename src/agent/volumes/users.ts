import { posix } from 'node:path';
import { keyOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Pod } from '../../kube/resource-types.ts';
import { coalesced } from '../../storage/coalesce.ts';
import type { Storage } from '../../storage/context.ts';
import { isAboutUsers, type Refusal } from '../refusal.ts';

const MAX_NAMED = 10;

/** Names (`namespace/name`) of the pods of this node that mount a path, something below it, or something around it; ten at most, in order. */
export type PodsUsing = (path: string) => Promise<readonly string[]>;

export function createPodsUsing(pods: ResourceClient<Pod>, nodeName: string): PodsUsing {
  const fieldSelector = `spec.nodeName=${nodeName},status.phase!=Succeeded,status.phase!=Failed`;
  const list = coalesced<void, Pod[]>(() => pods.list({ fieldSelector }));
  return async (path) => {
    return (await list())
      .filter((pod) => mountedBy(pod).some((mounted) => gives(mounted, path)))
      .map(keyOf)
      .sort()
      .slice(0, MAX_NAMED);
  };
}

/** Paths of the node that a pod mounts, as its containers see them: normalised, with their subPath. */
function mountedBy({ spec }: Pod): readonly string[] {
  const containers = [spec?.containers, spec?.initContainers, spec?.ephemeralContainers].flatMap((each) => each ?? []);
  return (spec?.volumes ?? []).flatMap(({ name, hostPath }) => {
    if (hostPath === undefined) return [];
    const mounts = containers.flatMap((each) => each.volumeMounts ?? []).filter((mount) => mount.name === name);
    const subPaths = mounts.map(({ subPath, subPathExpr }) => subPath ?? knownPartOf(subPathExpr));
    return (subPaths.length === 0 ? [''] : subPaths).map((subPath) => normalized(`${hostPath.path}/${subPath}`));
  });
}

/** What comes before the first variable: what is below that may be any of it. */
function knownPartOf(subPathExpr = ''): string {
  const [known = ''] = subPathExpr.split('$(');
  return known === subPathExpr ? known : known.slice(0, known.lastIndexOf('/') + 1);
}

/** The kernel reads `//` and `/./` as `/`, and so does a user. */
function normalized(path: string): string {
  return posix
    .normalize(`/${path}`)
    .replace(/^\/+/, '/')
    .replace(/(?<=.)\/$/, '');
}

/**
 * True if who has `mounted` can work at or below `path`. What is mounted around it counts within one volume: who mounts the directory
 * of all volumes, or one above, looks after the node (the agent itself, monitoring), and would hold everything up for ever.
 */
function gives(mounted: string, path: string): boolean {
  const [volumePath] = IN_VOLUME.exec(path) ?? [path];
  return isAtOrBelow(mounted, path) || (isAtOrBelow(path, mounted) && isAtOrBelow(mounted, volumePath));
}

/** `<root>/volumes/<uid>`: the last of them, as the root may have such a name too. */
const IN_VOLUME = /^.*\/volumes\/[^/]+/;

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
