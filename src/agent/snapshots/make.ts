import type { Snapshot, SnapshotStatus } from '../../api/snapshot.ts';
import { StorageError } from '../../storage/errors.ts';
import { createSnapshot } from '../../storage/snapshots/create.ts';
import { hasNested } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import type { MakeOptions, SnapshotReconcilerOptions } from './options.ts';
import { findSource, type Source } from './source.ts';
import { transferLocally } from './transfer.ts';
import { transferFromNode } from './transfer-from-node.ts';

/** What making a Snapshot brought to light. */
export interface Made {
  readonly parent: Snapshot | undefined;
  readonly nested: boolean;
  readonly transfer?: SnapshotStatus['transfer'];
  readonly text: string;
}

/** The Snapshot is made from its source. Throws `not-ready` with a reason while the source is not there. */
export async function makeSnapshot(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  tree: Tree,
  make: MakeOptions,
): Promise<Made> {
  const source = await findSource(options, snapshot, tree, make.signal);
  switch (source.kind) {
    case 'here':
      return await makeHere(snapshot, tree, source);
    case 'elsewhere': {
      const isLocal = source.parent.status.nodeName === options.nodeName;
      const transfer = isLocal ? transferLocally : transferFromNode;
      const how = await transfer(options, snapshot, source.parent, tree, make);
      const text = `received from Snapshot ${source.parent.metadata.name}, ${how.incrementalFrom === undefined ? 'all of it' : 'the difference only'}`;
      return { parent: source.parent, nested: false, transfer: how, text };
    }
    case 'stream':
      throw new StorageError('unsupported', 'not made yet', { reason: 'TransferFailed' });
    case 'missing':
      throw new StorageError('not-ready', source.message, { reason: source.reason });
    default:
      return source satisfies never;
  }
}

async function makeHere(snapshot: Snapshot, tree: Tree, { path, parent }: Source & { kind: 'here' }): Promise<Made> {
  const { metadata, spec } = snapshot;
  // Looked at before: what is made meanwhile may be in the snapshot or not.
  const nested = path !== undefined && parent === undefined && (await hasNested(tree, path));
  const { uid, namespace = '', name } = metadata;
  await createSnapshot(tree, { uid, namespace, name }, { sourcePath: path, access: spec.access, owner: spec.owner });
  const what = parent === undefined ? (path ?? 'nothing') : `Snapshot ${parent.metadata.name}`;
  return { parent, nested, text: `made of ${what}, ${spec.access}` };
}
