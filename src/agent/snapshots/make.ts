import type { Snapshot, SnapshotStatus } from '../../api/snapshot.ts';
import { adoptSubvolumes } from '../../storage/adopt-subvolumes.ts';
import { StorageError } from '../../storage/errors.ts';
import { moveExports } from '../../storage/exports.ts';
import { createSnapshot } from '../../storage/snapshots/create.ts';
import type { Tree } from '../../storage/tree.ts';
import { proveOrphan } from '../prove-orphan.ts';
import { timeOperation } from '../time-operation.ts';
import { exportOwnerOf } from './exports.ts';
import { makeFromStream } from './make-from-stream.ts';
import type { MakeOptions, SnapshotReconcilerOptions } from './options.ts';
import type { Source } from './source.ts';
import { transferLocally } from './transfer.ts';
import { transferFromNode } from './transfer-from-node.ts';

/** What making a Snapshot brought to light. */
export interface Made {
  readonly parent: Snapshot | undefined;
  readonly nested: boolean;
  readonly transfer?: SnapshotStatus['transfer'];
  readonly adopted?: true;
  readonly text: string;
}

/** True for what comes from elsewhere, however long that takes. */
export function isLong({ kind }: Source): boolean {
  return kind === 'elsewhere' || kind === 'stream';
}

/** The Snapshot is made from its source. Throws `not-ready` with a reason while the source is not there. */
export async function makeSnapshot(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  source: Source,
  tree: Tree,
  make: MakeOptions,
): Promise<Made> {
  const { signal } = make;
  const { clock, onOperation } = options;
  const timed = <T>(operation: string, run: () => Promise<T>) =>
    timeOperation({ operation, signal, clock }, onOperation, run);
  switch (source.kind) {
    case 'here':
      return await timed('snapshot', () => makeHere(snapshot, tree, source));
    case 'elsewhere': {
      const isLocal = source.parent.status.nodeName === options.nodeName;
      const transfer = isLocal ? transferLocally : transferFromNode;
      const how = await timed('transfer', () => transfer(options, snapshot, source.parent, tree, make));
      const text = `received from Snapshot ${source.parent.metadata.name}, ${how.why}`;
      return { parent: source.parent, nested: false, transfer: how, text };
    }
    case 'stream': {
      const how = await timed('receive', () => makeFromStream(options, snapshot, source.stream, tree, make));
      const text = `received from a stream, ${how.incrementalFrom === undefined ? 'a full one' : 'an incremental one'}`;
      return { parent: undefined, nested: false, transfer: how, text };
    }
    case 'orphan': {
      const { uid, namespace = '', name } = snapshot.metadata;
      await proveOrphan(options, options.snapshots, {
        object: snapshot,
        tree,
        orphanUid: source.uid,
        kind: 'Snapshot',
      });
      const owner = await exportOwnerOf(options, snapshot, signal);
      await adoptSubvolumes(tree, source.uid, {
        kind: 'Snapshot',
        identity: { uid, namespace, name },
        changes: {},
        moveRest: () => moveExports(options.storage, source.uid, owner),
      });
      const text = `took over what was in the volume for ${source.uid}`;
      return { parent: undefined, nested: false, adopted: true, text };
    }
    case 'missing':
      throw new StorageError('not-ready', source.message, { reason: source.reason });
    default:
      return source satisfies never;
  }
}

async function makeHere(snapshot: Snapshot, tree: Tree, { path, parent }: Source & { kind: 'here' }): Promise<Made> {
  const { metadata, spec } = snapshot;
  // Looked at before: what is made meanwhile may be in the snapshot or not.
  const nested = path !== undefined && parent === undefined && (await tree.hasNested(path));
  const { uid, namespace = '', name } = metadata;
  await createSnapshot(tree, { uid, namespace, name }, { sourcePath: path, access: spec.access, owner: spec.owner });
  const what = parent === undefined ? (path ?? 'nothing') : `Snapshot ${parent.metadata.name}`;
  return { parent, nested, text: `made of ${what}, ${spec.access}` };
}
