import type { BuildCacheClaim, BuildCacheClaimStatus } from '../../api/build-cache-claim.ts';
import { ownedByAgent } from '../../api/ownership.ts';
import type { BuildCacheClaimConditionType, BuildCacheClaimReason } from '../../api/reasons-build-cache.ts';
import type { ClaimObservation } from '../../storage/caches/claim.ts';
import type { Tree } from '../../storage/tree.ts';
import { subvolumeStatusOf } from '../subvolume-status.ts';
import { conditionsOf, progressVerdicts, type Verdict } from '../verdicts.ts';
import type { Refusal } from './decide.ts';
import { isReleased, type Release } from './judge-release.ts';

export interface Report {
  readonly claim: BuildCacheClaim;
  /** undefined: could not be looked at. */
  readonly seen: (ClaimObservation & { readonly tree: Tree }) | undefined;
  readonly refusal: Refusal | undefined;
  /** What has become of it just now; undefined: nothing new. */
  readonly release: Release | undefined;
  readonly now: Date;
}

export function statusOf(report: Report): BuildCacheClaimStatus {
  const { claim, seen, refusal, release, now } = report;
  const { path, mount, outcome, reason, generation, ...previous } = ownedByAgent(claim.status);
  // Of what nobody has released there is no outcome, whoever wrote one.
  const told = isReleased(claim) ? { outcome, reason, generation } : {};
  const known = release ?? told;
  const isOver = known.outcome !== undefined;
  const place = seen === undefined ? { path, mount } : isOver ? {} : placeOf(claim, seen);
  const status: BuildCacheClaimStatus = {
    ...previous,
    ...place,
    outcome: known.outcome,
    reason: known.reason,
    generation: known.generation,
    observedGeneration: claim.metadata.generation,
    conditions: conditionsOf<BuildCacheClaimConditionType, BuildCacheClaimReason>(
      [
        ['Ready', readyOf(report)],
        [
          'Released',
          release === undefined
            ? isReleased(claim)
              ? 'as before'
              : undefined
            : ['True', release.reason, release.message],
        ],
        ['InUse', refusal?.reason === 'InUse' ? ['True', 'InUse', refusal.message] : undefined],
        ...progressVerdicts(refusal),
      ],
      { previous: previous.conditions, generation: claim.metadata.generation, now },
    ),
  };
  return JSON.parse(JSON.stringify(status)) as BuildCacheClaimStatus;
}

function placeOf({ spec }: BuildCacheClaim, { clone, record, tree }: NonNullable<Report['seen']>) {
  if (clone === undefined || record === undefined || record === 'damaged') return {};
  const { path, mount } = subvolumeStatusOf(clone, tree, spec.access);
  // Without it reading changes the clone, and what was only read would be published.
  return { baseGeneration: record.baseGeneration, path, mount: { ...mount, options: [...mount.options, 'noatime'] } };
}

function readyOf({ claim, seen, refusal, release }: Report): Verdict<BuildCacheClaimReason> {
  if (release !== undefined) return ['True', release.reason, release.message];
  // What is judged stays judged, whatever becomes of the clone.
  if (isReleased(claim) && claim.status.outcome !== undefined) {
    const released = claim.status.conditions?.find(({ type }) => type === 'Released');
    return ['True', (released?.reason ?? claim.status.outcome) as BuildCacheClaimReason, released?.message ?? ''];
  }
  if (refusal !== undefined) return ['False', refusal.reason, refusal.message];
  if (seen?.clone === undefined) return ['False', 'Cloning', 'the clone is being made'];
  return ['True', 'Ready', 'the clone belongs to the job; set spec.release when it has ended'];
}
