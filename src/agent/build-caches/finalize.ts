import type { BuildCache } from '../../api/build-cache.ts';
import { isTrue } from '../../api/conditions.ts';
import { type BuildCacheReason, buildCacheReasons } from '../../api/reasons-build-cache.ts';
import { ApiError } from '../../kube/errors.ts';
import { keyOf } from '../../kube/object.ts';
import { type Outcome, settled, settledAfter } from '../../runtime/outcome.ts';
import { removeCache } from '../../storage/caches/remove.ts';
import { StorageError } from '../../storage/errors.ts';
import { isAboutUsers, isRetried, outcomeOf, refusalOf } from '../refusal.ts';
import { referenceKey } from '../snapshots/relations.ts';
import type { Verdict } from '../verdicts.ts';
import type { BuildCacheReconcilerOptions, Refusal } from './options.ts';
import { claimsOf, holdsClone } from './relations.ts';
import { removalStatusOf } from './status.ts';
import { removeStrays } from './strays.ts';

const MAX_NAMED = 10;

/**
 * The generations are gone from the volume, and when the last claim has let go of its clone the status says so. Resumable at every
 * step. Nothing is destroyed on the word of a cache: the object is read anew first (rule 8).
 */
export async function finalize(
  options: BuildCacheReconcilerOptions,
  cached: BuildCache,
  signal: AbortSignal,
): Promise<Outcome> {
  const { nodeName, client, events, writer, metrics } = options;
  const cache = await client.get(keyOf(cached), { signal });
  if (cache === undefined || cache.metadata.uid !== cached.metadata.uid) return settled;
  if (cache.metadata.deletionTimestamp === undefined || cache.status.nodeName !== nodeName) return settled;
  if (isTrue(cache.status.conditions, 'Removed')) return settled;

  let step: string;
  try {
    step = await remove(options, cache);
  } catch (error) {
    // What the API server refuses is nothing that is in the way on the node.
    if (signal.aborted || error instanceof ApiError) throw error;
    const outcome = await wait(options, cache, refusalOf(error, buildCacheReasons));
    if (isRetried(error)) throw error;
    return outcome;
  }
  const held = claimsOf(cache, options.claims).filter(holdsClone);
  if (held.length > 0) {
    const names = held.slice(0, MAX_NAMED).map(({ metadata }) => metadata.name);
    const more = held.length > names.length ? ` and ${held.length - names.length} more` : '';
    const message = `its generations are gone; deletion waits for the claims that still work with clones: ${names.join(', ')}${more}`;
    return await wait(options, cache, { reason: 'HasDependents', message, mendedBy: 'time' });
  }
  const message = 'nothing is left of the cache on the node';
  await report(options, cache, ['True', 'Removed', message]);
  events.record(cache, 'Normal', 'Removed', 'Delete', message);
  const { namespace = '', name } = cache.metadata;
  metrics.forget({ namespace, name });
  writer.forget(keyOf(cache));
  return settledAfter(step);
}

async function remove(options: BuildCacheReconcilerOptions, cache: BuildCache): Promise<string> {
  const { storage, volumes, locks } = options;
  const { uid } = cache.metadata;
  const volume = volumes.get(referenceKey(cache, cache.spec.volumeRef));
  // Its volume went before it, and with that all that was in it.
  if (volume === undefined) return 'gone with its volume';
  try {
    return await storage.withTree(volume.metadata.uid, async (tree) => {
      // Nobody looks for what its claims have left behind once it is gone.
      await removeStrays(options, cache, tree);
      return await locks.alone(uid, () => removeCache(tree, uid));
    });
  } catch (error) {
    const isGoing = volume.metadata.deletionTimestamp !== undefined && volume.spec.deletionPolicy === 'Delete';
    if (isGoing && error instanceof StorageError && error.code === 'not-ready') return 'goes with its volume';
    throw error;
  }
}

async function wait(options: BuildCacheReconcilerOptions, cache: BuildCache, refusal: Refusal): Promise<Outcome> {
  await report(options, cache, ['False', refusal.reason, refusal.message]);
  options.events.record(cache, 'Warning', refusal.reason, 'Delete', refusal.message);
  return outcomeOf(isAboutUsers(refusal) ? refusal : { ...refusal, mendedBy: 'time' });
}

async function report(
  { writer, clock }: BuildCacheReconcilerOptions,
  cache: BuildCache,
  verdict: Verdict<BuildCacheReason>,
): Promise<void> {
  await writer.write(cache, removalStatusOf(cache, verdict, clock.now()));
}
