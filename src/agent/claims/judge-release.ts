import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim, ReleaseOutcome } from '../../api/build-cache-claim.ts';
import type { ReleaseReason } from '../../api/reasons-build-cache.ts';
import { type CacheObservation, currentGeneration } from '../../storage/caches/cache.ts';
import type { ClaimObservation } from '../../storage/caches/claim.ts';
import { publishedBy } from '../../storage/caches/publish.ts';
import type { CacheRecord, ClaimRecord } from '../../storage/caches/records.ts';
import { nameOf } from '../build-caches/status.ts';

/** What becomes of a claim that was released. */
export interface Release {
  readonly outcome: ReleaseOutcome;
  readonly reason: ReleaseReason;
  readonly message: string;
  readonly generation?: number | undefined;
}

export type Judgement =
  | { readonly kind: 'judged'; readonly release: Release }
  /** The clone is to become the next generation, if nothing in it speaks against that. */
  | { readonly kind: 'publish'; readonly cache: CacheRecord; readonly claim: ClaimRecord }
  /** It can't be told from what is on disk: the record of this one can't be read. */
  | { readonly kind: 'unknown'; readonly recordOf: 'claim' | 'cache' };

export interface ReleaseFacts {
  readonly claim: BuildCacheClaim;
  /** Not there, or being deleted: undefined. */
  readonly cache: BuildCache | undefined;
  readonly seen: ClaimObservation;
  /** Generation of btrfs in which something in the clone was changed last; undefined: in that of the clone, or not looked at. */
  readonly lastChange?: number | undefined;
  readonly cacheSeen: CacheObservation;
}

/** Its user has said that the job has ended: only after that a clone is thrown away. What status says of an outcome is not asked. */
export function isReleased({ spec, metadata }: BuildCacheClaim): boolean {
  return spec.release !== undefined || metadata.deletionTimestamp !== undefined;
}

/** What was judged of a claim that is released, as its record has it. */
export function releaseIn(claim: BuildCacheClaim, { record }: Pick<ClaimObservation, 'record'>): Release | undefined {
  if (!isReleased(claim) || record === undefined || record === 'damaged') return undefined;
  return record.released as Release | undefined;
}

/** By what is on disk, after everything in the clone was synced; the same facts always give the same outcome (rule 9). */
export function judgeRelease(facts: ReleaseFacts): Judgement {
  const { claim, seen, cacheSeen } = facts;
  const record = seen.record === 'damaged' ? undefined : seen.record;
  const before = releaseIn(claim, seen);
  if (before !== undefined) return judged(before);
  const cloneUUID = seen.clone?.uuid ?? record?.cloneUUID;
  const published = publishedBy(cacheSeen.generations, { uid: claim.metadata.uid, cloneUUID });
  if (published !== undefined) return judged(publishedAs(published.number, claim));
  if (claim.spec.release !== 'Publish') {
    if (claim.spec.release === 'Discard') return discarded('DiscardAsked', 'as spec.release says');
    return discarded('NotReleased', 'the claim was deleted without a release');
  }
  if (seen.clone === undefined) {
    return claim.status.baseGeneration === undefined
      ? discarded('NeverMade', 'the claim was released before it had a clone')
      : discarded('CloneMissing', 'the clone is gone from the volume');
  }
  // Whoever was never told of a clone has not worked in it; of what can't be read nobody knows who was.
  if (record === undefined) {
    return claim.status.baseGeneration === undefined && seen.record === undefined
      ? discarded('NeverMade', 'the claim was released before it had a clone')
      : unknown('claim', claim);
  }
  return judgeClone(facts, facts.lastChange ?? seen.clone.generation, record);
}

function judgeClone({ claim, cache, cacheSeen }: ReleaseFacts, lastChange: number, record: ClaimRecord): Judgement {
  const { record: cacheRecord } = cacheSeen;
  if (cache === undefined || cache.metadata.uid !== record.cacheUid) {
    return discarded('CacheDeleted', 'the cache that it was made of was deleted');
  }
  if (claim.spec.access === 'ReadOnly') return unchanged('ReadOnly', 'a ReadOnly clone cannot have changed');
  if (lastChange <= record.btrfsGeneration) return unchanged('Unchanged', 'nothing in the clone has changed');
  if (cache.spec.publishPolicy === 'Never')
    return discarded('PublishPolicyNever', 'the cache publishes nothing (publishPolicy Never)');
  if (cache.spec.pinnedGeneration !== undefined) {
    return discarded('CachePinned', `the cache is pinned to generation ${cache.spec.pinnedGeneration}`);
  }
  if (cacheRecord === undefined || cacheRecord === 'damaged') return unknown('cache', claim);
  if (record.baseGeneration < cacheRecord.firstGeneration || cache.spec.resetToken !== cacheRecord.resetToken) {
    return discarded('CacheReset', 'the cache was reset after the clone was made');
  }
  const current = currentGeneration(cacheSeen);
  if (
    cache.spec.publishPolicy === 'FirstWriterWins' &&
    current !== undefined &&
    current.number > record.baseGeneration
  ) {
    return judged({
      outcome: 'Superseded',
      reason: 'NewerGeneration',
      message: `generation ${current.number} (published by ${nameOf(current)}) is newer than ${record.baseGeneration}, from which this one started`,
      generation: current.number,
    });
  }
  return { kind: 'publish', cache: cacheRecord, claim: record };
}

export function publishedAs(generation: number, { spec }: BuildCacheClaim): Release {
  const message = `it is generation ${generation} of ${spec.cacheRef.name} now`;
  return { outcome: 'Published', reason: 'Published', message, generation };
}

export function discardedBecause(reason: ReleaseReason, message: string): Release {
  return { outcome: 'Discarded', reason, message };
}

/** Whoever deletes the claim doesn't want to wait for somebody to mend it. */
function unknown(recordOf: 'claim' | 'cache', { metadata }: BuildCacheClaim): Judgement {
  if (metadata.deletionTimestamp === undefined) return { kind: 'unknown', recordOf };
  return discarded(
    'RecordDamaged',
    `the record of the ${recordOf} can't be read, so nobody knows what it started from`,
  );
}

function judged(release: Release): Judgement {
  return { kind: 'judged', release };
}

function discarded(reason: ReleaseReason, message: string): Judgement {
  return judged(discardedBecause(reason, message));
}

function unchanged(reason: ReleaseReason, message: string): Judgement {
  return judged({ outcome: 'Unchanged', reason, message });
}
