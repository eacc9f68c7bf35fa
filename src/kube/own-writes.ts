import { type KubeObject, keyOf } from './object.ts';

/** What this process wrote, until its cache has it: a pass that begins before does not do the same again. */
export interface OwnWrites<T extends KubeObject> {
  /** The newer of the object in the cache and the one that our last write returned. */
  freshest(cached: T): T;
  remember(written: T): void;
  forget(key: string): void;
}

export function createOwnWrites<T extends KubeObject>(): OwnWrites<T> {
  const written = new Map<string, T>();
  return {
    freshest(cached) {
      const key = keyOf(cached);
      const own = written.get(key);
      if (own !== undefined && own.metadata.uid === cached.metadata.uid && isNewer(own, cached)) return own;
      written.delete(key);
      return cached;
    },
    remember: (object) => void written.set(keyOf(object), object),
    forget: (key) => void written.delete(key),
  };
}

/** NOTE: resource versions of one kind may be compared as integers (KEP-5504, true of every etcd-backed server). */
function isNewer(left: KubeObject, right: KubeObject): boolean {
  return BigInt(left.metadata.resourceVersion) > BigInt(right.metadata.resourceVersion);
}
