import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import type { BuildCacheClaimReason } from '../../api/reasons-build-cache.ts';
import type { ClaimObservation } from '../../storage/caches/claim.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';

export type Refusal = AnyRefusal<BuildCacheClaimReason>;

export type Action =
  | { readonly kind: 'clone' }
  /** Find out what becomes of it, and publish it if that is it. */
  | { readonly kind: 'release' }
  /** The outcome is told: the clone has to go. */
  | { readonly kind: 'clean' }
  | { readonly kind: 'rest' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

/** The next step from what is there to what is wanted. Pure and total: every pass may be the first one. */
export function decide({ spec, status }: BuildCacheClaim, { clone, record }: ClaimObservation): Action {
  if (status.outcome !== undefined) return { kind: clone === undefined ? 'rest' : 'clean' };
  if (spec.release !== undefined) return { kind: 'release' };
  if (clone !== undefined && record !== undefined && record !== 'damaged') return { kind: 'rest' };
  // Nobody was told of it: it is made (anew).
  if (status.baseGeneration === undefined) return { kind: 'clone' };
  if (clone === undefined) {
    return refuse('DataMissing', 'the clone is gone from the volume; make a new claim');
  }
  return refuse(
    'RecordDamaged',
    "the record of the claim can't be read; it can still be used, but not published; make a new claim",
  );
}

function refuse(reason: BuildCacheClaimReason, message: string): Action {
  return { kind: 'refuse', refusal: { reason, message, mendedBy: 'person' } };
}
