import type { SnapshotReason } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { SnapshotObservation } from '../../storage/snapshots/snapshot.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';

export type Refusal = AnyRefusal<SnapshotReason>;

export type Action =
  /** There is nothing yet: make it from its source. */
  | { readonly kind: 'make' }
  /** Make the writable one read-only, or finish doing so. */
  | { readonly kind: 'commit' }
  /** Remove what an interrupted run left. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'rest' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

/** The next step from what is there to what is wanted. Pure and total: every pass may be the first one. */
export function decide({ spec, status }: Snapshot, seen: SnapshotObservation): Action {
  const { writable, committed, staging } = seen;
  if (committed !== undefined) {
    if (spec.access === 'ReadWrite') {
      return refuse(
        'WasCommitted',
        'the subvolume is read-only for ever; make a ReadWrite Snapshot with this one as its source',
      );
    }
    if (writable !== undefined) return { kind: 'commit' };
    return { kind: staging === undefined ? 'rest' : 'clean' };
  }
  if (writable !== undefined) {
    if (spec.access === 'ReadOnly') return { kind: 'commit' };
    return { kind: staging === undefined ? 'rest' : 'clean' };
  }
  // What was Ready once never becomes something else.
  if (status.uuid !== undefined) {
    return refuse('DataMissing', 'the subvolume is gone from the volume; restore the volume, or delete this object');
  }
  return { kind: 'make' };
}

function refuse(reason: SnapshotReason, message: string): Action {
  return { kind: 'refuse', refusal: { reason, message, mendedBy: 'person' } };
}
