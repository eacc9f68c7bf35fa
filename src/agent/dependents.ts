import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import { cachesIn, claimsOf } from './build-caches/relations.ts';
import type { Caches } from './caches.ts';
import { snapshotsIn } from './snapshots/relations.ts';

const MAX_NAMED = 10;

export interface Dependents {
  /** In words, the first ten of each kind; empty without any. */
  readonly named: readonly string[];
  /** Nobody has to delete any of them any more. */
  readonly areGoing: boolean;
}

/** Objects that live in a volume. */
export type DependentsIn = (volume: LoopbackVolume) => Dependents;

export function dependentsIn(caches: Pick<Caches, 'snapshots' | 'buildCaches' | 'claims'>): DependentsIn {
  return (volume) => {
    const buildCaches = cachesIn(volume, caches.buildCaches);
    const claims = buildCaches.flatMap((cache) => claimsOf(cache, caches.claims));
    const snapshots = snapshotsIn(volume, caches.snapshots);
    return {
      named: [
        ...named('Snapshots', snapshots),
        ...named('BuildCaches', buildCaches),
        ...named('BuildCacheClaims', claims),
      ],
      areGoing: [...snapshots, ...buildCaches, ...claims].every(
        ({ metadata }) => metadata.deletionTimestamp !== undefined,
      ),
    };
  };
}

function named(kind: string, objects: readonly KubeObject[]): string[] {
  if (objects.length === 0) return [];
  return [`${kind} ${objects.map(keyOf).toSorted().slice(0, MAX_NAMED).join(', ')}`];
}
