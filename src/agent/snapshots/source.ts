import type { Download } from '../../api/download.ts';
import type { SnapshotReason } from '../../api/reasons-snapshot.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { DATA_NAME, treeLayout } from '../../storage/layout.ts';
import type { Tree } from '../../storage/tree.ts';
import type { SnapshotReconcilerOptions } from './options.ts';
import { isCommitted, isInSameVolume, sourceKey } from './relations.ts';

/** Where the content of a Snapshot is to come from, as it is now. */
export type Source =
  /** A subvolume of the same volume; no path: none, an empty one. */
  | { readonly kind: 'here'; readonly path: string | undefined; readonly parent?: Snapshot }
  /** A committed Snapshot in another volume, perhaps on another node. */
  | { readonly kind: 'elsewhere'; readonly parent: Snapshot }
  /** What is in the volume and belongs to no object. */
  | { readonly kind: 'orphan'; readonly uid: string }
  /** A send stream from outside. */
  | { readonly kind: 'stream'; readonly stream: Download }
  | { readonly kind: 'missing'; readonly reason: SnapshotReason; readonly message: string };

export async function findSource(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  tree: Tree,
  signal: AbortSignal,
): Promise<Source> {
  const { source } = snapshot.spec;
  if (source.stream !== undefined) return { kind: 'stream', stream: source.stream };
  if (source.adopt !== undefined) return { kind: 'orphan', uid: source.adopt.uid };
  if (source.snapshotRef === undefined)
    return { kind: 'here', path: source.empty === undefined ? DATA_NAME : undefined };

  const key = sourceKey(snapshot) ?? '';
  const { name } = source.snapshotRef;
  const parent = options.snapshots.get(key) ?? (await options.client.get(key, { signal }));
  if (parent === undefined)
    return missing('SourceNotFound', `there is no Snapshot "${name}"; this one goes on when it is made`);
  if (parent.metadata.deletionTimestamp !== undefined) {
    return missing('SourceDeleted', `Snapshot "${name}" is being deleted; make this one from another`);
  }
  if (!isInSameVolume(parent, snapshot)) {
    return isCommitted(parent) ? { kind: 'elsewhere', parent } : notCommitted(name, parent);
  }
  const path = treeLayout.committedPath(parent.metadata.uid);
  const isHere = (await tree.list()).has(path);
  return isHere ? { kind: 'here', path, parent } : notCommitted(name, parent);
}

function notCommitted(name: string, { spec }: Snapshot): Source {
  if (spec.access === 'ReadWrite') {
    return missing('SourceNotCommitted', `Snapshot "${name}" is still writable; set its spec.access to ReadOnly`);
  }
  return missing('SourceNotReady', `Snapshot "${name}" is not committed yet; this one goes on when it is`);
}

function missing(reason: SnapshotReason, message: string): Source {
  return { kind: 'missing', reason, message };
}
