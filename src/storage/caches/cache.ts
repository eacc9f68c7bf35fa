import type { Owner } from '../../host/coreutils.ts';
import { snapshotSubvolume } from '../../host/subvolume.ts';
import type { ListedSubvolume } from '../../host/subvolume-list.ts';
import { attempt } from '../context.ts';
import { generationAt, treeLayout } from '../layout.ts';
import type { TreeIdentity } from '../snapshots/snapshot.ts';
import { makeStaged } from '../staged-subvolume.ts';
import { RECORD_NAME, type Tree } from '../tree.ts';
import { type CacheRecord, cacheRecordPath, type GenerationOrigin, type Recorded, readCacheRecord } from './records.ts';

/** A read-only generation of a cache, as the kernel has it. */
export interface Generation {
  readonly number: number;
  readonly subvolume: ListedSubvolume;
  /** As the record has it. */
  readonly origin: GenerationOrigin | undefined;
}

/** What there is of one BuildCache in its volume. */
export interface CacheObservation {
  readonly record: Recorded<CacheRecord>;
  /** The oldest first. */
  readonly generations: readonly Generation[];
}

export async function observeCache(tree: Tree, uid: string): Promise<CacheObservation> {
  const [subvolumes, record] = await Promise.all([tree.list(), readCacheRecord(tree, uid)]);
  const made = record === undefined || record === 'damaged' ? {} : record.made;
  const generations = [...subvolumes].flatMap(([path, subvolume]): Generation[] => {
    const number = generationAt(path, uid);
    return number === undefined ? [] : [{ number, subvolume, origin: made[number] }];
  });
  return { record, generations: generations.toSorted((a, b) => a.number - b.number) };
}

/** The newest generation that claims may start from; undefined before the first one of this reset is there. */
export function currentGeneration({ record, generations }: CacheObservation): Generation | undefined {
  if (record === undefined || record === 'damaged') return undefined;
  const newest = generations.at(-1);
  return newest !== undefined && newest.number >= record.firstGeneration ? newest : undefined;
}

/** The record of a cache that there is nothing of yet. */
export async function beginCache(tree: Tree, identity: TreeIdentity, resetToken: string): Promise<void> {
  await attempt('make the cache', async () => {
    await tree.writeRecord(`${treeLayout.cachePath(identity.uid)}/${RECORD_NAME}`, {
      schemaVersion: 1,
      kind: 'BuildCache',
      ...identity,
      createdAt: new Date().toISOString(),
      resetToken,
      firstGeneration: 1,
      nextGeneration: 2,
      made: {},
    } satisfies CacheRecord);
  });
}

/** From now on claims start from an empty generation, which is yet to be made. The caller holds the cache alone. */
export async function resetCache(tree: Tree, record: CacheRecord, resetToken: string): Promise<void> {
  const { nextGeneration } = record;
  await attempt('reset the cache', () =>
    tree.replaceRecord(cacheRecordPath(record.uid), {
      ...record,
      resetToken,
      firstGeneration: nextGeneration,
      nextGeneration: nextGeneration + 1,
    } satisfies CacheRecord),
  );
}

export interface FirstGeneration {
  /** Of the top directory of an empty one. */
  readonly owner: Owner;
  /** Path in the tree, name and uid of the Snapshot that it is made of; undefined: it is empty. */
  readonly seed: { readonly path: string; readonly name: string; readonly uid: string } | undefined;
}

/**
 * The first generation since the last reset is in its place, on disk. The caller holds the cache alone and has seen that
 * there is none.
 */
export async function makeFirstGeneration(
  tree: Tree,
  record: CacheRecord,
  { owner, seed }: FirstGeneration,
): Promise<void> {
  const { uid, firstGeneration } = record;
  const placePath = treeLayout.generationPath(uid, firstGeneration);
  await attempt('make the first generation of the cache', async () => {
    const origin =
      seed === undefined ? { from: 'Empty' as const } : { from: 'Seed' as const, name: seed.name, uid: seed.uid };
    const made = { ...record.made, [firstGeneration]: { ...origin, at: new Date().toISOString() } };
    await tree.replaceRecord(cacheRecordPath(uid), { ...record, made } satisfies CacheRecord);
    if (seed === undefined) {
      const stagingPath = treeLayout.stagingPath(uid);
      await makeStaged(tree, { sourcePath: undefined, owner, stagingPath, placePath, access: 'ReadOnly' });
    } else {
      await snapshotSubvolume(tree.run, `${tree.path}/${seed.path}`, `${tree.path}/${placePath}`, 'ReadOnly');
    }
  });
}
