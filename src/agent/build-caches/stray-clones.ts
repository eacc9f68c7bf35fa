import type { BuildCache } from '../../api/build-cache.ts';
import { removeClone } from '../../storage/caches/claim.ts';
import { readClaimRecord } from '../../storage/caches/records.ts';
import { claimUidAt } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';

/**
 * Clones of this cache without a claim are gone: claims that were removed by force, or while no agent ran. Each is looked for at
 * the API server first, by what its record says (rule 8). Returns their names.
 */
export async function removeStrayClones(
  { claims, claimClient }: Pick<BuildCacheReconcilerOptions, 'claims' | 'claimClient'>,
  cache: BuildCache,
  tree: Tree,
): Promise<readonly string[]> {
  const known = new Set([...claims.values()].map(({ metadata }) => metadata.uid));
  const strays = [...(await tree.list()).keys()]
    .flatMap((path) => claimUidAt(path) ?? [])
    .filter((uid) => !known.has(uid));
  const removed: string[] = [];
  for (const uid of strays) {
    const record = await readClaimRecord(tree, uid);
    if (record === undefined || record === 'damaged' || record.cacheUid !== cache.metadata.uid) continue;
    const claim = await claimClient.get(`${record.namespace}/${record.name}`);
    if (claim?.metadata.uid === uid) continue;
    await removeClone(tree, uid);
    removed.push(record.name);
  }
  return removed;
}
