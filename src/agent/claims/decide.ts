import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import type { BuildCacheClaimReason } from '../../api/reasons-build-cache.ts';
import type { ClaimObservation } from '../../storage/caches/claim.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';
import { isReleased, releaseIn } from './judge-release.ts';

export type Refusal = AnyRefusal<BuildCacheClaimReason>;

export type Action =
  | { readonly kind: 'clone' }
  /** Find out what becomes of it, publish it if that is it, and throw the clone away. */
  | { readonly kind: 'release' }
  | { readonly kind: 'rest' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

/** Nobody was told of a clone yet, and one is wanted: it is made, or made anew, or what was made is told. */
export function isNew({ spec, status }: BuildCacheClaim): boolean {
  return spec.release === undefined && status.baseGeneration === undefined;
}

/** The next step from what is there to what is wanted. Pure and total: every pass may be the first one. */
export function decide(claim: BuildCacheClaim, { clone, record }: ClaimObservation): Action {
  if (isReleased(claim)) {
    const isOver = clone === undefined && (releaseIn(claim, { record }) ?? claim.status.outcome) !== undefined;
    return { kind: isOver ? 'rest' : 'release' };
  }
  if (isNew(claim)) return { kind: 'clone' };
  if (clone === undefined) return refuse('DataMissing', 'the clone is gone from the volume; make a new claim');
  if (record !== undefined && record !== 'damaged') return { kind: 'rest' };
  return refuse(
    'RecordDamaged',
    "the record of the claim can't be read; it can still be used, but not published; make a new claim",
  );
}

function refuse(reason: BuildCacheClaimReason, message: string): Action {
  return { kind: 'refuse', refusal: { reason, message, mendedBy: 'person' } };
}
