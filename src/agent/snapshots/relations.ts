import { isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { keyOf } from '../../kube/object.ts';
import type { Cached } from './options.ts';

/** Key of what a reference of this object names: references stay in the namespace. */
export function referenceKey({ metadata }: Snapshot, reference: { readonly name: string }): string {
  return `${metadata.namespace}/${reference.name}`;
}

/** Key of the Snapshot that this one is made of; undefined if it is made of something else. */
export function sourceKey(snapshot: Snapshot): string | undefined {
  const { snapshotRef } = snapshot.spec.source;
  return snapshotRef === undefined ? undefined : referenceKey(snapshot, snapshotRef);
}

/**
 * Snapshots that can't do without this one, in order of their names: children in the same volume, and those elsewhere that have
 * not received it yet.
 */
export function childrenOf(snapshot: Snapshot, snapshots: Cached<Snapshot>): readonly Snapshot[] {
  const key = keyOf(snapshot);
  return [...snapshots.values()]
    .filter((other) => sourceKey(other) === key && (isInSameVolume(other, snapshot) || other.status.uuid === undefined))
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

export function isInSameVolume(one: Snapshot, other: Snapshot): boolean {
  return referenceKey(one, one.spec.volumeRef) === referenceKey(other, other.spec.volumeRef);
}

export function snapshotsIn(volume: LoopbackVolume, snapshots: Cached<Snapshot>): readonly Snapshot[] {
  const key = keyOf(volume);
  return [...snapshots.values()].filter((snapshot) => referenceKey(snapshot, snapshot.spec.volumeRef) === key);
}

export function isCommitted({ status }: Snapshot): boolean {
  return isTrue(status.conditions, 'Committed');
}
