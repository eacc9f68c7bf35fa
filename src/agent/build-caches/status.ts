import type { BuildCache, BuildCacheStatus } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { formatTime } from '../../api/conditions.ts';
import { ownedByAgent } from '../../api/ownership.ts';
import type { BuildCacheConditionType, BuildCacheReason } from '../../api/reasons-build-cache.ts';
import { type CacheObservation, currentGeneration, type Generation } from '../../storage/caches/cache.ts';
import { conditionsOf, progressVerdicts, type Verdict } from '../verdicts.ts';
import type { Refusal } from './options.ts';
import { isActive } from './relations.ts';
import type { Uncounted } from './tally.ts';

export interface Report {
  readonly cache: BuildCache;
  /** undefined: could not be looked at. */
  readonly seen: CacheObservation | undefined;
  readonly refusal: Refusal | undefined;
  /** Why less is free than is wanted; undefined if enough is, or if it was not looked at. */
  readonly pressure: string | undefined;
  readonly claims: readonly BuildCacheClaim[];
  readonly uncounted: Uncounted;
  readonly now: Date;
}

/** What the agent writes with its own field manager; claims are named by another one. */
export function ownedPart({ status }: BuildCache): BuildCacheStatus {
  const { clones: _, ...owned } = ownedByAgent(status);
  return owned;
}

export function statusOf(report: Report): BuildCacheStatus {
  const { cache, seen, refusal, pressure, claims, now } = report;
  const previous = ownedPart(cache);
  return {
    ...previous,
    observedGeneration: cache.metadata.generation,
    ...(seen === undefined ? {} : factsOf(seen, previous)),
    activeClaims: claims.filter(isActive).length,
    ...countsOf(report, previous),
    conditions: conditionsOf<BuildCacheConditionType, BuildCacheReason>(
      [
        ['Ready', readyOf(seen, refusal)],
        ['CapacityPressure', pressure === undefined ? undefined : ['True', 'TooLittleFree', pressure]],
        ...progressVerdicts(refusal),
      ],
      { previous: previous.conditions, generation: cache.metadata.generation, now },
    ),
  };
}

function factsOf(seen: CacheObservation, previous: BuildCacheStatus): Partial<BuildCacheStatus> {
  // What was there once is not forgotten: without it a new one would be made.
  const current = currentGeneration(seen)?.number ?? previous.currentGeneration;
  return {
    ...(current === undefined ? {} : { currentGeneration: current }),
    generations: seen.generations.map(({ number, subvolume, origin }) => ({
      generation: number,
      subvolumeID: subvolume.id,
      uuid: subvolume.uuid,
      ...(origin === undefined ? {} : { from: nameOf({ origin }), createdAt: formatTime(new Date(origin.at)) }),
    })),
  };
}

/** What a generation was made of, for people. */
export function nameOf({ origin }: Pick<Generation, 'origin'>): string {
  if (origin === undefined) return 'unknown';
  return origin.from === 'Claim' ? (origin.name ?? 'a claim') : origin.from;
}

function countsOf({ uncounted }: Report, previous: BuildCacheStatus): Partial<BuildCacheStatus> {
  const { outcomes, lastPublishedAt } = uncounted;
  return {
    published: (previous.published ?? 0) + (outcomes.Published ?? 0),
    superseded: (previous.superseded ?? 0) + (outcomes.Superseded ?? 0),
    unchanged: (previous.unchanged ?? 0) + (outcomes.Unchanged ?? 0),
    discarded: (previous.discarded ?? 0) + (outcomes.Discarded ?? 0),
    ...(lastPublishedAt === undefined ? {} : { lastPublishedAt: formatTime(lastPublishedAt) }),
  };
}

function readyOf(seen: CacheObservation | undefined, refusal: Refusal | undefined): Verdict<BuildCacheReason> {
  if (refusal !== undefined) return ['False', refusal.reason, refusal.message];
  const current = seen === undefined ? undefined : currentGeneration(seen);
  if (current === undefined) return ['False', 'Creating', 'the first generation is being made'];
  return ['True', 'Ready', 'claims get clones'];
}
