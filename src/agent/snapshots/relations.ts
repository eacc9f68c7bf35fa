import type { BuildCache } from '../../api/build-cache.ts';
import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { type KubeObject, keyOf } from '../../kube/object.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Cached } from './options.ts';

/** Key of what a reference of this object names: references stay in the namespace. */
export function referenceKey({ metadata }: KubeObject, reference: { readonly name: string }): string {
  return `${metadata.namespace}/${reference.name}`;
}

/** The volume that an object of this node lives in. Throws `not-ready` if the node has no such volume. */
export function volumeOf(
  volumes: Cached<LoopbackVolume>,
  object: KubeObject & { readonly spec: { readonly volumeRef: { readonly name: string } } },
): LoopbackVolume {
  const { volumeRef } = object.spec;
  const volume = volumes.get(referenceKey(object, volumeRef));
  if (volume !== undefined) return volume;
  throw new StorageError('not-ready', `there is no LoopbackVolume "${volumeRef.name}" on this node any more`, {
    reason: 'VolumeNotFound',
  });
}

/** Key of the Snapshot that the object is made of; undefined if it is made of something else. */
export function sourceKey(object: Snapshot | LoopbackVolume): string | undefined {
  const { snapshotRef } = object.spec.source ?? {};
  return snapshotRef === undefined ? undefined : referenceKey(object, snapshotRef);
}

/**
 * Snapshots that can't do without this one, in order of their names: children in the same volume, and those elsewhere that have
 * not received it yet.
 */
export function childrenOf(snapshot: Snapshot, snapshots: Pick<Cached<Snapshot>, 'values'>): readonly Snapshot[] {
  const key = keyOf(snapshot);
  return [...snapshots.values()]
    .filter((other) => sourceKey(other) === key && (isInSameVolume(other, snapshot) || other.status.uuid === undefined))
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** What is in the namespace of a Snapshot, on whatever node. */
export interface Namesakes {
  readonly snapshots: readonly Snapshot[];
  readonly volumes: readonly LoopbackVolume[];
  readonly caches: readonly BuildCache[];
}

/** All that can't do without this one: {@link childrenOf}, and volumes and caches that are to be made of it and are not made yet. */
export function dependentsOf(snapshot: Snapshot, { snapshots, volumes, caches }: Namesakes): readonly KubeObject[] {
  const key = keyOf(snapshot);
  const isComing = ({ metadata }: KubeObject) => metadata.deletionTimestamp === undefined;
  // Who was stopped between the last byte and its report says Ready all the same.
  const isFilled = ({ status }: LoopbackVolume) =>
    status.import?.phase === 'Done' || isTrue(status.conditions, 'Ready');
  return [
    ...childrenOf(snapshot, snapshots),
    ...volumes.filter((each) => sourceKey(each) === key && !isFilled(each) && isComing(each)),
    ...caches.filter(
      (each) =>
        each.spec.seed !== undefined &&
        referenceKey(each, each.spec.seed.snapshotRef) === key &&
        each.status.currentGeneration === undefined &&
        isComing(each),
    ),
  ];
}

export function isInSameVolume(one: Snapshot, other: Snapshot): boolean {
  return referenceKey(one, one.spec.volumeRef) === referenceKey(other, other.spec.volumeRef);
}

export function snapshotsIn(volume: LoopbackVolume, snapshots: Cached<Snapshot>): readonly Snapshot[] {
  const key = keyOf(volume);
  return [...snapshots.values()].filter((snapshot) => referenceKey(snapshot, snapshot.spec.volumeRef) === key);
}

/** Uids of Snapshots and of those that they were made of. */
export function lineageOf(snapshots: Cached<Snapshot>): (readonly [child: string, parent: string])[] {
  return [...snapshots.values()].flatMap((snapshot) => {
    const key = sourceKey(snapshot);
    const parent = key === undefined ? undefined : snapshots.get(key);
    return parent === undefined ? [] : [[snapshot.metadata.uid, parent.metadata.uid] as const];
  });
}

export function isCommitted({ status }: Snapshot): boolean {
  return isTrue(status.conditions, 'Committed');
}
