import type { BuildCache } from '../../api/build-cache.ts';
import { type CacheObservation, currentGeneration, type Generation } from '../../storage/caches/cache.ts';
import type { CacheRecord } from '../../storage/caches/records.ts';
import type { Refusal } from './options.ts';

export type Action =
  /** There is nothing yet: write the record. */
  | { readonly kind: 'begin' }
  /** There is nothing yet: take over what is there for another uid. */
  | { readonly kind: 'adopt'; readonly uid: string }
  /** Start anew with an empty generation. */
  | { readonly kind: 'reset'; readonly record: CacheRecord }
  /** Make the first generation since the last reset. */
  | { readonly kind: 'make-first'; readonly record: CacheRecord }
  | { readonly kind: 'prune'; readonly generations: readonly Generation[] }
  | { readonly kind: 'rest' }
  | { readonly kind: 'refuse'; readonly refusal: Refusal };

/** The next step from what is there to what is wanted; `isKept` tells which generations must not go. */
export function decide(cache: BuildCache, seen: CacheObservation, isKept: (generation: Generation) => boolean): Action {
  const { spec, status } = cache;
  const { record, generations } = seen;
  if (record === undefined || record === 'damaged') {
    if (generations.length > 0) return recordDamaged();
    if (status.currentGeneration === undefined) return beginning(cache);
    return record === 'damaged' ? recordDamaged() : dataMissing();
  }
  if (spec.resetToken !== record.resetToken) return { kind: 'reset', record };
  if (currentGeneration(seen) === undefined) {
    // More than the first one was there, or somebody was told of it.
    const wasThere =
      record.nextGeneration > record.firstGeneration + 1 || (status.currentGeneration ?? 0) >= record.firstGeneration;
    return wasThere ? dataMissing() : { kind: 'make-first', record };
  }
  const old = outdated(cache, seen, record).filter((generation) => !isKept(generation));
  if (old.length > 0) return { kind: 'prune', generations: old };
  const { pinnedGeneration } = spec;
  if (pinnedGeneration !== undefined && !generations.some(({ number }) => number === pinnedGeneration)) {
    const numbers = generations.map(({ number }) => number).join(', ');
    return refuse(
      'GenerationNotFound',
      `there is no generation ${pinnedGeneration} (spec.pinnedGeneration); there are ${numbers}`,
    );
  }
  return { kind: 'rest' };
}

function beginning({ spec }: BuildCache): Action {
  return spec.source === undefined ? { kind: 'begin' } : { kind: 'adopt', uid: spec.source.adopt.uid };
}

/** Generations of before the last reset, and more than are to be kept. */
function outdated({ spec }: BuildCache, { generations }: CacheObservation, record: CacheRecord): readonly Generation[] {
  const valid = generations.filter(({ number }) => number >= record.firstGeneration);
  const kept = new Set(valid.slice(-spec.keepGenerations));
  return generations.filter((generation) => !kept.has(generation));
}

function recordDamaged(): Action {
  return refuse(
    'RecordDamaged',
    "the record of the cache in its volume is gone or can't be read; restore it, or delete the BuildCache",
  );
}

function dataMissing(): Action {
  return refuse(
    'DataMissing',
    'the generations of the cache are gone from its volume; restore the volume, or delete the BuildCache and make it anew',
  );
}

function refuse(reason: Refusal['reason'], message: string): Action {
  return { kind: 'refuse', refusal: { reason, message, mendedBy: 'person' } };
}
