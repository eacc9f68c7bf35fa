import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { removeClone } from '../../storage/caches/claim.ts';
import { readClaimRecord } from '../../storage/caches/records.ts';
import { StorageError } from '../../storage/errors.ts';
import { claimUidAt, stagingUidAt, treeLayout } from '../../storage/layout.ts';
import { mountPointsOf } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';

type StrayOptions = Pick<
  BuildCacheReconcilerOptions,
  'caches' | 'claims' | 'snapshots' | 'volumes' | 'claimClient' | 'podsUsing'
>;

export interface Strays {
  /** What is gone, in words for people. */
  readonly removed: readonly string[];
  /** How many something still has mounted. */
  readonly held: number;
}

/**
 * Clones in the volume of a cache whose claims are gone, and unfinished work for objects that are gone, are gone too: their
 * objects were removed by force, or while no agent ran. Each claim is looked for at the API server first (rule 8).
 */
export async function removeStrays(options: StrayOptions, cache: BuildCache, tree: Tree): Promise<Strays> {
  const kinds = [options.claims, options.caches, options.snapshots, options.volumes];
  const known = new Set(kinds.flatMap((objects) => [...objects.values()].map(({ metadata }) => metadata.uid)));
  const paths = [...(await tree.list()).keys()];
  const strays = (uidAt: (path: string) => string | undefined) =>
    new Set(paths.flatMap((path) => uidAt(path) ?? []).filter((uid) => !known.has(uid)));
  const removed: string[] = [];
  let held = 0;
  for (const uid of strays(claimUidAt)) {
    const name = await nameOfStray(options, cache, tree, uid);
    if (name === undefined) continue;
    const outcome = await removeUnlessUsed(options, tree, uid);
    if (outcome === 'removed') removed.push(`clone of claim ${name}`);
    if (outcome === 'in use') held++;
  }
  for (const uid of [...strays(stagingUidAt), ...leftovers(options, cache, paths)]) {
    if ((await mountPointsOf(tree, treeLayout.stagingPath(uid))).length > 0) continue;
    await tree.removeSubvolume(treeLayout.stagingPath(uid));
    removed.push(`unfinished work for ${uid}`);
  }
  return { removed, held };
}

/** Whose work was finished, but for its staging: this cache, which works on nothing else meanwhile, and claims that have their clones. */
function leftovers({ claims }: StrayOptions, cache: BuildCache, paths: readonly string[]): readonly string[] {
  const finished = [...claims.values()].filter(({ status }) => status.baseGeneration !== undefined);
  const uids = new Set([cache, ...finished].map(({ metadata }) => metadata.uid));
  return paths.flatMap((path) => stagingUidAt(path) ?? []).filter((uid) => uids.has(uid));
}

/** What to call a clone without a claim; undefined if it has one after all. A half-made one has no name: nobody was told of it. */
async function nameOfStray(
  { claimClient }: StrayOptions,
  { metadata }: BuildCache,
  tree: Tree,
  uid: string,
): Promise<string | undefined> {
  const isIts = (claim: BuildCacheClaim | undefined) => claim?.metadata.uid === uid;
  const record = await readClaimRecord(tree, uid);
  if (record !== undefined && record !== 'damaged') {
    return isIts(await claimClient.get(`${record.namespace}/${record.name}`)) ? undefined : record.name;
  }
  const claims = await claimClient.list(metadata.namespace === undefined ? {} : { namespace: metadata.namespace });
  return claims.some(isIts) ? undefined : uid;
}

async function removeUnlessUsed(
  { podsUsing }: StrayOptions,
  tree: Tree,
  uid: string,
): Promise<'removed' | 'was gone already' | 'in use'> {
  if ((await podsUsing(`${tree.path}/${treeLayout.claimPath(uid)}`)).length > 0) return 'in use';
  try {
    return await removeClone(tree, uid);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'in-use') return 'in use';
    throw error;
  }
}
