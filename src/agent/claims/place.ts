import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { StorageError } from '../../storage/errors.ts';
import { claimUidAt } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { ClaimReconcilerOptions } from '../build-caches/options.ts';
import { isGoing } from '../pass/in-volume.ts';
import { referenceKey, volumeOf } from '../snapshots/relations.ts';

/** Runs `work` on the tree of the volume that the claim's cache is in. Throws `not-ready` with a reason if there is none. */
export async function withClaimTree<T>(
  options: ClaimReconcilerOptions,
  claim: BuildCacheClaim,
  work: (tree: Tree) => Promise<T>,
): Promise<T> {
  const { storage } = options;
  const { name } = claim.spec.cacheRef;
  const cache = options.caches.get(referenceKey(claim, claim.spec.cacheRef));
  const volume = cache === undefined ? await findVolume(options, claim) : volumeOf(options.volumes, cache);
  if (volume === undefined) {
    throw new StorageError('not-ready', `there is no BuildCache "${name}" on this node; make it, or delete the claim`, {
      reason: 'CacheNotFound',
    });
  }
  return await storage.withTree(volume.metadata.uid, work);
}

/**
 * Which volume the clone is in when the cache was removed by force: it is looked for, since no status is believed (rule 15). Throws
 * `not-ready` if it may be in one that can't be looked into.
 */
async function findVolume(
  { storage, volumes }: ClaimReconcilerOptions,
  { metadata }: BuildCacheClaim,
): Promise<LoopbackVolume | undefined> {
  const closed: string[] = [];
  for (const volume of volumes.values()) {
    if (volume.metadata.namespace !== metadata.namespace) continue;
    const has = await storage
      .withTree(volume.metadata.uid, async (tree) =>
        [...(await tree.list()).keys()].some((path) => claimUidAt(path) === metadata.uid),
      )
      .catch(() => 'unknown' as const);
    if (has === true) return volume;
    if (has === 'unknown' && !isGoing(volume)) closed.push(volume.metadata.name);
  }
  if (closed.length === 0) return undefined;
  const message = `the clone may be in LoopbackVolume ${closed.join(', ')}, which can't be looked into now; see there`;
  throw new StorageError('not-ready', message, { reason: 'VolumeNotReady' });
}

/** What {@link withClaimTree} throws when the clone may be in a volume that can't be looked into. */
export function isClosed(error: unknown): boolean {
  return error instanceof StorageError && error.reason === 'VolumeNotReady';
}

/** What {@link withClaimTree} throws when the clone is in no volume of this node. */
export function isNowhere(error: unknown): boolean {
  return error instanceof StorageError && error.reason === 'CacheNotFound';
}
