import type { BuildCacheClaim } from '../api/build-cache-claim.ts';
import type { KubeObject } from '../kube/object.ts';
import { createPlaces, type Places } from '../runtime/places.ts';
import type { ReconcilerOptions } from '../runtime/reconciler.ts';
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

/** Long work of which no byte has come or gone for so long hangs, or waits for who hangs. */
const QUIET_LONG_MS = 60_000;

/** For fills, exports, transfers, and for making volumes smaller: apart from passes, and no namespace and no volume has all. */
export function createLongPlaces(limit: number): Places {
  const part = (of: number) => Math.ceil(limit * of);
  return createPlaces({ limit, limitWithin: part(1 / 4), limitByNamespace: part(3 / 4), quietMs: QUIET_LONG_MS });
}

type InVolume = KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } };

/** The volume that the pass over an object works in; that of an unknown one is the object itself. */
export function volumeKeyIn(objects: { get(key: string): InVolume | undefined }): (key: string) => string {
  return (key) => {
    const object = objects.get(key);
    return object === undefined ? key : referenceKey(object, object.spec.volumeRef);
  };
}

interface CachesOfClaims {
  readonly buildCaches: { get(key: string): InVolume | undefined };
  readonly claims: { get(key: string): BuildCacheClaim | undefined };
}

/** As {@link volumeKeyIn}, of a claim: the volume of its cache. */
export function volumeKeyOfClaim({ buildCaches, claims }: CachesOfClaims): (key: string) => string {
  const volumeKeyOf = volumeKeyIn(buildCaches);
  return (key) => {
    const claim = claims.get(key);
    return claim === undefined ? key : volumeKeyOf(referenceKey(claim, claim.spec.cacheRef));
  };
}
