import type { BuildCache } from '../../api/build-cache.ts';
import type { BuildCacheClaim } from '../../api/build-cache-claim.ts';
import { keyOf } from '../../kube/object.ts';
import { removeClaim } from '../../storage/caches/claim.ts';
import { readClaimRecord } from '../../storage/caches/records.ts';
import { StorageError } from '../../storage/errors.ts';
import { claimUidAt, treeLayout } from '../../storage/layout.ts';
import { removeStaging } from '../../storage/staged-subvolume.ts';
import type { Tree } from '../../storage/tree.ts';
import { referenceKey } from '../snapshots/relations.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';
import { claimsOf } from './relations.ts';

type StrayOptions = Pick<BuildCacheReconcilerOptions, 'caches' | 'claims' | 'named' | 'claimClient' | 'podsUsing'>;

export interface Strays {
  /** What is gone, in words for people. */
  readonly removed: readonly string[];
  /** Uids of claims whose clones go as soon as nothing has them mounted any more. */
  readonly held: readonly string[];
  /** Uids of all clones that are in the volume. */
  readonly clones: readonly string[];
}

/**
 * Clones in the volume of a cache whose claims are gone are gone too, and so is unfinished work for the cache itself, which works on
 * nothing else meanwhile. The claims were removed by force, or while no agent ran. Each claim is looked for at the API server first (rule 8). A clone of a claim
 * that was not judged, and that this API server was never told of (it was restored from before, or is a new one), stays: it is an
 * orphan. Unfinished work of other objects is theirs, or goes with the orphans: it may be under way.
 */
export async function removeStrays(options: StrayOptions, cache: BuildCache, tree: Tree): Promise<Strays> {
  const known = new Set([...options.claims.values()].map(({ metadata }) => metadata.uid));
  const removed: string[] = [];
  const held: string[] = [];
  const paths = [...(await tree.list()).keys()];
  const clones = new Set(paths.flatMap((path) => claimUidAt(path) ?? []));
  const lost = [...clones].filter((uid) => !known.has(uid));
  const wereKnown = lost.length === 0 ? new Set() : await claimsOnceKnown(options, cache);
  for (const uid of lost) {
    const name = await nameOfStray(options, cache, { tree, uid, wasKnown: wereKnown.has(uid) });
    if (name === undefined) continue;
    const outcome = await removeUnlessUsed(options, tree, uid);
    if (outcome === 'in use') held.push(uid);
    else clones.delete(uid);
    if (outcome === 'removed') removed.push(`clone of claim ${name}`);
  }
  const { uid } = cache.metadata;
  if (paths.includes(treeLayout.stagingPath(uid)) && (await removeStaging(tree, uid)) === 'removed') {
    removed.push(`unfinished work for ${uid}`);
  }
  return { removed, held, clones: [...clones] };
}

/**
 * Uids of claims of this cache that have some of these clones, and that the API server knows: what it was told of once goes with its
 * claim. A claim that is not named yet is read anew, as what is cached may be of before the API server was restored.
 */
export async function claimsToName(
  { claims, claimClient }: Pick<StrayOptions, 'claims' | 'claimClient'>,
  cache: BuildCache,
  { clones, before }: { readonly clones: readonly string[]; readonly before: readonly string[] | undefined },
): Promise<readonly string[]> {
  const named = new Set(before);
  const there = await Promise.all(
    claimsOf(cache, claims)
      .filter(({ metadata }) => clones.includes(metadata.uid))
      .map(async ({ metadata }) => {
        const { uid } = metadata;
        return named.has(uid) || (await claimClient.get(keyOf({ metadata })))?.metadata.uid === uid ? [uid] : [];
      }),
  );
  return there.flat();
}

/** Uids of claims of all caches of the volume that this agent has told the API server of. */
async function claimsOnceKnown({ caches, named }: StrayOptions, cache: BuildCache): Promise<ReadonlySet<string>> {
  const volumeKey = referenceKey(cache, cache.spec.volumeRef);
  const inVolume = [...caches.values()].filter((other) => referenceKey(other, other.spec.volumeRef) === volumeKey);
  return new Set((await Promise.all(inVolume.map(named.read))).flatMap((uids) => uids ?? []));
}

/**
 * What to call a clone that has to go; undefined if it has a claim after all, or is an orphan. What was judged goes whoever knows of
 * it. A half-made one has no name: nobody was told of it.
 */
async function nameOfStray(
  { claimClient }: StrayOptions,
  { metadata }: BuildCache,
  { tree, uid, wasKnown }: { readonly tree: Tree; readonly uid: string; readonly wasKnown: boolean },
): Promise<string | undefined> {
  const isIts = (claim: BuildCacheClaim | undefined) => claim?.metadata.uid === uid;
  const record = await readClaimRecord(tree, uid);
  const isJudged = record !== undefined && record !== 'damaged' && record.released !== undefined;
  if (record !== undefined && !wasKnown && !isJudged) return undefined;
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
    return await removeClaim(tree, uid);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'in-use') return 'in use';
    throw error;
  }
}
