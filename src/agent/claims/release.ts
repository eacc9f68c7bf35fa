import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import type { ReleaseReason } from '../../api/reasons-build-cache.ts';
import { type CacheObservation, observeCache } from '../../storage/caches/cache.ts';
import { type ClaimObservation, observeClaim, recordRelease } from '../../storage/caches/claim.ts';
import { readLastChange } from '../../storage/caches/last-change.ts';
import { publishClone } from '../../storage/caches/publish.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { referenceKey } from '../snapshots/relations.ts';
import { discardedBecause, judgeRelease, publishedAs, type Release } from './judge-release.ts';

const nested = discardedBecause(
  'NestedSubvolumes',
  'the job made subvolumes in the clone, which a generation would lack',
);

/**
 * What becomes of a released claim is known, and if it is to be a generation it is one, on disk. Safe to repeat: who has become a
 * generation before is found by that. Nobody else works on the cache meanwhile.
 */
export async function release(options: ClaimReconcilerOptions, claim: BuildCacheClaim, tree: Tree): Promise<Release> {
  const { caches, cacheClient, locks, clock, metrics } = options;
  const { uid } = claim.metadata;
  const cacheKey = referenceKey(claim, claim.spec.cacheRef);
  const cache = caches.get(cacheKey);
  const fromMs = clock.monotonicMs();
  // What was not synced does not show in the generation of btrfs that tells of changes.
  if (claim.spec.release === 'Publish') await tree.sync();
  const lastChange = await lastChangeOf(options, claim, tree);
  return await locks.alone(cache?.metadata.uid ?? uid, async () => {
    const nothing: CacheObservation = { record: undefined, generations: [] };
    const [seen, cacheSeen] = await Promise.all([
      observeClaim(tree, uid),
      cache === undefined ? nothing : observeCache(tree, cache.metadata.uid),
    ]);
    let judgement = judgeRelease({ claim, cache: unlessGoing(cache), seen, lastChange, cacheSeen });
    // A generation stays: whoever pinned, reset or deleted the cache before must not be overlooked.
    if (judgement.kind === 'publish') {
      const freshCache = unlessGoing(await cacheClient.get(cacheKey));
      judgement = judgeRelease({ claim, cache: freshCache, seen, lastChange, cacheSeen });
    }
    switch (judgement.kind) {
      case 'judged':
        return await remember({ claim, tree, seen }, judgement.release);
      case 'unknown':
        throw unreadable(judgement.recordOf, claim);
      case 'publish': {
        if (await tree.hasNested(treeLayout.clonePath(uid, 'ReadWrite')))
          return await remember({ claim, tree, seen }, nested);
        const number = await publishClone(
          tree,
          { cache: judgement.cache, generations: cacheSeen.generations },
          judgement.claim,
        );
        metrics.operationEnded('publish', clock.monotonicMs() - fromMs);
        return await remember({ claim, tree, seen }, publishedAs(number, claim));
      }
      default:
        return judgement satisfies never;
    }
  });
}

/** What follows from the object alone; all else is judged by what may be different the next time. */
const CERTAIN: readonly ReleaseReason[] = ['DiscardAsked', 'NotReleased'];

/** What was judged stays so: it is in the record before anybody is told, and before the clone goes. */
async function remember(
  { claim, tree, seen }: { readonly claim: BuildCacheClaim; readonly tree: Tree; readonly seen: ClaimObservation },
  release: Release,
): Promise<Release> {
  const { record } = seen;
  if (record === undefined || record === 'damaged' || record.released !== undefined) return release;
  if (CERTAIN.includes(release.reason)) return release;
  try {
    await recordRelease(tree, record, release);
  } catch (error) {
    // A full volume is no reason to keep what is deleted: that makes room.
    const isFull = error instanceof StorageError && error.code === 'out-of-space';
    if (!isFull || claim.metadata.deletionTimestamp === undefined) throw error;
  }
  return release;
}

/** Read only where the generation of btrfs has grown, which costs nothing to see and may have other reasons. */
async function lastChangeOf(
  { storage }: ClaimReconcilerOptions,
  { spec, metadata }: BuildCacheClaim,
  tree: Tree,
): Promise<number | undefined> {
  if (spec.release !== 'Publish' || spec.access !== 'ReadWrite') return undefined;
  const { clone, record } = await observeClaim(tree, metadata.uid);
  if (clone === undefined || record === undefined || record === 'damaged') return undefined;
  if (record.released !== undefined) return undefined;
  return clone.generation <= record.btrfsGeneration ? undefined : await readLastChange(storage, tree, metadata.uid);
}

function unreadable(recordOf: 'claim' | 'cache', { spec }: BuildCacheClaim): StorageError {
  const kept = 'the clone is kept; deleting the claim discards it';
  if (recordOf === 'claim') {
    const message = `the record of the claim can't be read, so nobody knows what it started from; ${kept}`;
    return new StorageError('damaged', message, { reason: 'RecordDamaged' });
  }
  const message = `BuildCache "${spec.cacheRef.name}" can't tell its generations, see its conditions; ${kept}`;
  return new StorageError('not-ready', message, { reason: 'CacheNotReady' });
}

function unlessGoing(cache: BuildCache | undefined): BuildCache | undefined {
  return cache?.metadata.deletionTimestamp === undefined ? cache : undefined;
}
