import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { nameOf } from '../metrics-source.ts';
import { referenceKey } from '../snapshots/relations.ts';
import type { Release } from './judge-release.ts';

/** The outcome is an Event, a metric, and counted by its cache. Called once for each, after status has it. */
export function tellRelease(options: ClaimReconcilerOptions, claim: BuildCacheClaim, release: Release): void {
  const { caches, events, metrics, tally, clock, onOutcome } = options;
  const { outcome, reason, message } = release;
  const isLoss = ['CloneMissing', 'NestedSubvolumes', 'RecordDamaged'].includes(reason);
  events.record(claim, isLoss ? 'Warning' : 'Normal', outcome, 'Release', `${reason}: ${message}`);
  const key = referenceKey(claim, claim.spec.cacheRef);
  const cache = caches.get(key);
  // Series of a cache that is gone would stay for as long as this process.
  if (cache === undefined) return;
  metrics.released(nameOf(cache), outcome);
  tally.add(cache.metadata.uid, outcome, clock.now());
  onOutcome(key);
}

/** Throws `in-use` while pods of this node have the clone mounted. */
export async function refuseUsed(
  { podsUsing }: Pick<ClaimReconcilerOptions, 'podsUsing'>,
  { metadata }: BuildCacheClaim,
  tree: Pick<Tree, 'path'>,
): Promise<void> {
  const pods = await podsUsing(`${tree.path}/${treeLayout.claimPath(metadata.uid)}`);
  if (pods.length === 0) return;
  throw new StorageError('in-use', `pods have the clone mounted: ${pods.join(', ')}; it goes when they have ended`, {
    reason: 'InUse',
  });
}
