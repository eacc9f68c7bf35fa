import type { KubeObject } from '../kube/object.ts';
import type { ReconcilerOptions } from '../runtime/reconciler.ts';
import type { Caches } from './caches.ts';
import { referenceKey } from './snapshots/relations.ts';

/** A pass that takes longer waits for a command that hangs, or for an API server that does not answer. */
const QUIET_MS = 5_000;

/** How passes share the places of their loop: what hangs in one volume leaves the others theirs. */
export function sharedAmongVolumes(
  concurrency: number,
  withinOf: (key: string) => string,
): Pick<ReconcilerOptions, 'concurrency' | 'concurrencyWithin' | 'quietMs' | 'withinOf'> {
  return { concurrency, concurrencyWithin: Math.ceil(concurrency / 2), quietMs: QUIET_MS, withinOf };
}

type InVolume = KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } };

/** The volume that the pass over an object works in; that of an unknown one is the object itself. */
export function volumeKeyIn(objects: { get(key: string): InVolume | undefined }): (key: string) => string {
  return (key) => {
    const object = objects.get(key);
    return object === undefined ? key : referenceKey(object, object.spec.volumeRef);
  };
}

/** As {@link volumeKeyIn}, of a claim: the volume of its cache. */
export function volumeKeyOfClaim({
  buildCaches,
  claims,
}: Pick<Caches, 'buildCaches' | 'claims'>): (key: string) => string {
  const volumeKeyOf = volumeKeyIn(buildCaches);
  return (key) => {
    const claim = claims.get(key);
    return claim === undefined ? key : volumeKeyOf(referenceKey(claim, claim.spec.cacheRef));
  };
}
