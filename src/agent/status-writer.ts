import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../kube/object.ts';
import { keyOf } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resource-client.ts';

export interface StatusWriter<T extends KubeObject, Status> {
  /** The newer of the object in the cache and the one that our last write returned. */
  freshest(cached: T): T;
  /** The object has this status, as far as it is ours; no request when it has it already. */
  write(object: T, status: Status): Promise<void>;
  forget(key: string): void;
}

export interface StatusWriterOptions<T extends KubeObject, Status> {
  readonly client: ResourceClient<T>;
  readonly fieldManager: string;
  /** The part of an object's status that this writer owns. */
  readonly ownedPart: (object: T) => Status;
}

/** Writes status by server-side apply, once for each change: it remembers what it wrote until the cache has it. */
export function createStatusWriter<T extends KubeObject, Status extends object>(
  options: StatusWriterOptions<T, Status>,
): StatusWriter<T, Status> {
  const written = new Map<string, T>();
  const freshest = (cached: T): T => {
    const own = written.get(keyOf(cached));
    return own !== undefined && own.metadata.uid === cached.metadata.uid && isNewer(own, cached) ? own : cached;
  };
  return {
    freshest,
    async write(object, status) {
      const known = freshest(object);
      if (isDeepStrictEqual(options.ownedPart(known), plain(status))) return;
      const { name, namespace, uid } = object.metadata;
      // The uid makes the server refuse the write to a new object of the same name.
      const draft = { metadata: { name, namespace, uid }, status };
      written.set(keyOf(object), await options.client.applyStatus(draft, { fieldManager: options.fieldManager }));
    },
    forget: (key) => void written.delete(key),
  };
}

/** NOTE: resource versions of one kind may be compared as integers (KEP-5504, true of every etcd-backed server). */
function isNewer(left: KubeObject, right: KubeObject): boolean {
  return BigInt(left.metadata.resourceVersion) > BigInt(right.metadata.resourceVersion);
}

/** As it comes back from the server: without keys whose value is undefined. */
function plain(status: object): unknown {
  return JSON.parse(JSON.stringify(status));
}
