import type { Snapshot } from '../../api/snapshot.ts';
import { refuseWithoutRoom } from '../../storage/content-room.ts';
import { StorageError } from '../../storage/errors.ts';
import { type StreamPoint, streamUUID } from '../../storage/snapshots/common-ancestor.ts';
import { receiveLocally, receiveSnapshot } from '../../storage/snapshots/receive.ts';
import { pathsOf, planSend } from '../../storage/snapshots/send.ts';
import type { TreeIdentity } from '../../storage/snapshots/snapshot.ts';
import type { Tree } from '../../storage/tree.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { lineageOf, referenceKey } from './relations.ts';
import { roomIn } from './room.ts';

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
      signal,
    );
    refuseWithoutRoom(outgoing.dataBytes, await roomIn(options, snapshot));
    let transfer: Transfer = { phase: 'Receiving', ...describe(outgoing.ancestor?.uuid, outgoing.isAllSmaller) };
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

export function describe(
  ancestorUUID: string | undefined,
  isAllSmaller: boolean,
): Pick<Transfer, 'incrementalFrom' | 'why'> {
  if (ancestorUUID !== undefined) {
    return { incrementalFrom: ancestorUUID, why: 'the difference only: both volumes have a common ancestor' };
  }
  return {
    why: isAllSmaller
      ? 'all of it: the difference to the common ancestor would be larger, as a new hole in a file is sent as zeros'
      : 'all of it: the volumes have no related subvolume in common',
  };
}
