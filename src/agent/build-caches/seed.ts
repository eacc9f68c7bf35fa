import type { BuildCache } from '../../api/build-cache.ts';
import { StorageError } from '../../storage/errors.ts';
import { treeLayout } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import { isCommitted, referenceKey } from '../snapshots/relations.ts';
import type { BuildCacheReconcilerOptions } from './options.ts';

export interface Seed {
  /** In the tree. */
  readonly path: string;
  readonly name: string;
  readonly uid: string;
}

/** The Snapshot that the first generation is made of; undefined: none. Throws `not-ready` with a reason while it is not there. */
export async function findSeed(
  { snapshots }: Pick<BuildCacheReconcilerOptions, 'snapshots'>,
  cache: BuildCache,
  tree: Tree,
): Promise<Seed | undefined> {
  const { seed, volumeRef } = cache.spec;
  if (seed === undefined) return undefined;
  const { name } = seed.snapshotRef;
  const snapshot = snapshots.get(referenceKey(cache, seed.snapshotRef));
  // One that is on another node is not in this volume, and not in the caches of this agent.
  if (snapshot === undefined || snapshot.metadata.deletionTimestamp !== undefined) {
    throw notReady(
      'SourceNotFound',
      `there is no Snapshot "${name}" on the node of the cache; this goes on when it is made`,
    );
  }
  if (snapshot.spec.volumeRef.name !== volumeRef.name) {
    const message = `Snapshot "${name}" is in volume ${snapshot.spec.volumeRef.name}; make one of it in ${volumeRef.name} (source.snapshotRef), and a new BuildCache with that one`;
    throw new StorageError('conflict', message, { reason: 'SourceElsewhere' });
  }
  const path = treeLayout.committedPath(snapshot.metadata.uid);
  if (!isCommitted(snapshot) || !(await tree.list()).has(path)) {
    throw notReady(
      'SourceNotCommitted',
      `Snapshot "${name}" is not committed; this goes on when its access is ReadOnly`,
    );
  }
  return { path, name, uid: snapshot.metadata.uid };
}

function notReady(reason: string, message: string): StorageError {
  return new StorageError('not-ready', message, { reason });
}
