import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import { cachesIn, claimsOf } from './build-caches/relations.ts';
import type { Caches } from './caches.ts';
import { snapshotsIn } from './snapshots/relations.ts';

const MAX_NAMED = 10;

/** Objects that live in a volume, in words, the first ten of each kind; empty without any. */
export type DependentsIn = (volume: LoopbackVolume) => readonly string[];

export function dependentsIn(caches: Pick<Caches, 'snapshots' | 'buildCaches' | 'claims'>): DependentsIn {
  return (volume) => {
    const buildCaches = cachesIn(volume, caches.buildCaches);
    const claims = buildCaches.flatMap((cache) => claimsOf(cache, caches.claims));
    return [
      ...named('Snapshots', snapshotsIn(volume, caches.snapshots)),
      ...named('BuildCaches', buildCaches),
      ...named('BuildCacheClaims', claims),
    ];
  };
}

function named(kind: string, objects: readonly KubeObject[]): string[] {
  if (objects.length === 0) return [];
  return [`${kind} ${objects.map(keyOf).toSorted().slice(0, MAX_NAMED).join(', ')}`];
}
