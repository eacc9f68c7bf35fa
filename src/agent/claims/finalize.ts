import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { isTrue } from '../../api/conditions.ts';
import { type BuildCacheClaimReason, buildCacheClaimReasons } from '../../api/reasons-build-cache.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { removeClone } from '../../storage/caches/claim.ts';
import { StorageError } from '../../storage/errors.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { isAboutUsers, isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { referenceKey } from '../snapshots/relations.ts';
import type { Verdict } from '../verdicts.ts';
import type { Refusal } from './decide.ts';
import { discardedBecause, type Release } from './judge-release.ts';
import { isGoing, withClaimTree } from './place.ts';
import { release } from './release.ts';
import { statusOf } from './status.ts';
import { refuseUsed, tellRelease } from './tell.ts';

/**
 * What was asked for before the deletion is done, the clone is gone, and the status says so: a release is judged, a claim without one
 * is discarded. Resumable at every step. Nothing is destroyed on the word of a cache: the object is read anew first (rule 8).
 */
export async function finalize(
  options: ClaimReconcilerOptions,
  cached: BuildCacheClaim,
  signal: AbortSignal,
): Promise<Outcome> {
  const { nodeName, client, events, writer } = options;
  const claim = await client.get(keyOf(cached), { signal });
  if (claim === undefined || claim.metadata.uid !== cached.metadata.uid) return settled;
  if (claim.metadata.deletionTimestamp === undefined || claim.status.nodeName !== nodeName) return settled;
  if (isTrue(claim.status.conditions, 'Removed')) return settled;

  let step: string;
  try {
    step = isGoneWithCache(options, claim) ? 'nothing was there' : await remove(options, claim);
  } catch (error) {
    // What the API server refuses is nothing that is in the way on the node.
    if (signal.aborted || error instanceof ApiError) throw error;
    const outcome = await wait(options, claim, refusalOf(error, buildCacheClaimReasons));
    if (isRetried(error)) throw error;
    return outcome;
  }
  const message = 'nothing is left of the claim on the node';
  await report(options, claim, ['True', 'Removed', message], undefined);
  events.record(claim, 'Normal', 'Removed', 'Delete', message);
  writer.forget(keyOf(claim));
  return settledAfter(step);
}

/** It never had a clone, and there is no cache to look for one in. */
function isGoneWithCache({ caches, volumes }: ClaimReconcilerOptions, claim: BuildCacheClaim): boolean {
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  if (cache === undefined) return claim.status.baseGeneration === undefined;
  return volumes.get(referenceKey(cache, cache.spec.volumeRef)) === undefined;
}

async function remove(options: ClaimReconcilerOptions, claim: BuildCacheClaim): Promise<string> {
  try {
    return await withClaimTree(options, claim, async (tree) => {
      if (claim.status.outcome === undefined) await judge(options, claim, await release(options, claim, tree));
      await refuseUsed(options, claim, tree);
      return await removeClone(tree, claim.metadata.uid);
    });
  } catch (error) {
    const lost = error instanceof StorageError ? lossBy(options, claim, error) : undefined;
    if (lost === undefined) throw error;
    if (claim.status.outcome === undefined) await judge(options, claim, lost);
    return 'was gone already';
  }
}

/** What a failure says of a clone that is nowhere, or goes with its volume; undefined: it may still be there. */
function lossBy({ caches, volumes }: ClaimReconcilerOptions, claim: BuildCacheClaim, error: StorageError) {
  if (error.reason === 'CacheNotFound') return discardedBecause('CloneMissing', 'the clone is gone from the volume');
  const cache = caches.get(referenceKey(claim, claim.spec.cacheRef));
  const volume = cache === undefined ? undefined : volumes.get(referenceKey(cache, cache.spec.volumeRef));
  if (error.code !== 'not-ready' || volume === undefined || !isGoing(volume)) return undefined;
  return discardedBecause('CacheDeleted', 'the volume of the cache is being deleted, and is not mounted any more');
}

async function judge(options: ClaimReconcilerOptions, claim: BuildCacheClaim, judged: Release): Promise<void> {
  const { writer, clock } = options;
  const status = statusOf({ claim, seen: undefined, refusal: undefined, release: judged, now: clock.now() });
  await writer.write(claim, status);
  tellRelease(options, claim, judged);
}

async function wait(options: ClaimReconcilerOptions, claim: BuildCacheClaim, refusal: Refusal): Promise<Outcome> {
  await report(options, claim, ['False', refusal.reason, refusal.message], refusal);
  options.events.record(claim, 'Warning', refusal.reason, 'Delete', refusal.message);
  return outcomeOf(isAboutUsers(refusal) ? refusal : { ...refusal, mendedBy: 'time' });
}

async function report(
  { writer, clock }: ClaimReconcilerOptions,
  object: BuildCacheClaim,
  removal: Verdict<BuildCacheClaimReason>,
  refusal: Refusal | undefined,
): Promise<void> {
  const claim = writer.freshest(object);
  const status = statusOf({ claim, seen: undefined, refusal, release: undefined, removal, now: clock.now() });
  await writer.write(claim, status);
}
