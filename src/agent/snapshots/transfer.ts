import type { Snapshot } from '../../api/snapshot.ts';
import { StorageError } from '../../storage/errors.ts';
import { type StreamPoint, streamUUID } from '../../storage/snapshots/common-ancestor.ts';
import { receiveLocally, receiveSnapshot } from '../../storage/snapshots/receive.ts';
import { pathsOf, planSend } from '../../storage/snapshots/send.ts';
import type { TreeIdentity } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { lineageOf, referenceKey } from './relations.ts';

/** The content of a committed Snapshot of another volume on this node is received into this one; says how. */
export async function transferLocally(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  parent: Snapshot,
  tree: Tree,
  { signal, onTransfer }: MakeOptions,
): Promise<Transfer> {
  const { storage, volumes } = options;
  const sourceVolume = volumes.get(referenceKey(parent, parent.spec.volumeRef));
  if (sourceVolume === undefined) {
    throw new StorageError('not-ready', `the volume of Snapshot "${parent.metadata.name}" is not on this node`, {
      reason: 'SourceNotReady',
    });
  }
  return await storage.withTree(sourceVolume.metadata.uid, async (sourceTree) => {
    const outgoing = await planSend(
      sourceTree,
      parent.metadata.uid,
      await pointsOf(tree),
      lineageOf(options.snapshots),
    );
    let transfer: Transfer = { phase: 'Receiving', ...describe(outgoing.ancestor?.uuid) };
    onTransfer(transfer);
    const { uid } = snapshot.metadata;
    await receiveSnapshot(storage, tree, identityOf(snapshot), snapshot.spec, {
      expectedUUID: streamUUID(outgoing.subvolume),
      receive: receiveLocally(storage, uid, {
        send: pathsOf(sourceTree, outgoing),
        sourceTree,
        signal,
        onBytes(bytes) {
          transfer = { ...transfer, bytes };
          onTransfer(transfer);
        },
      }),
    });
    return { ...transfer, phase: 'Done' };
  });
}

export function identityOf({ metadata: { uid, namespace = '', name } }: Snapshot): TreeIdentity {
  return { uid, namespace, name };
}

/** Read-only subvolumes of this volume, which an increment can build on. */
export async function pointsOf(tree: Tree): Promise<readonly StreamPoint[]> {
  return [...(await tree.listReadOnly()).values()];
}

export function describe(ancestorUUID: string | undefined): Pick<Transfer, 'incrementalFrom' | 'why'> {
  return ancestorUUID === undefined
    ? { why: 'all of it: the volumes have no related subvolume in common' }
    : { incrementalFrom: ancestorUUID, why: 'the difference only: both volumes have a common ancestor' };
}
