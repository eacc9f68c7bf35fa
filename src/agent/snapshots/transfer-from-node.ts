import type { BtrfsNode } from '../../api/btrfs-node.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { TransferError } from '../../net/transfer-protocol.ts';
import { StorageError } from '../../storage/errors.ts';
import { receiveConfined, receiveSnapshot } from '../../storage/snapshots/receive.ts';
import { openIncoming } from '../../storage/streams/incoming-stream.ts';
import type { Tree } from '../../storage/tree.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { describe, identityOf, pointsOf } from './transfer.ts';

/** Most that a request may name; the newest are the likely ones. */
const MAX_ANCESTORS = 1_000;
/** How often the bytes of a transfer are looked at. */
const LOOK_MS = 500;

/** The content of a committed Snapshot of another node is received into this one; says how. */
export async function transferFromNode(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  parent: Snapshot,
  tree: Tree,
  { signal, onTransfer }: MakeOptions,
): Promise<Transfer> {
  const { storage, transfer: port } = options;
  const { uid, namespace, name } = identityOf(snapshot);
  const peer = await findPeer(options, parent, signal);
  const points = await pointsOf(tree);
  const ancestors = points.slice(-MAX_ANCESTORS).map(({ uuid, receivedUUID }) => ({
    uuid,
    ...(receivedUUID === undefined ? {} : { receivedUuid: receivedUUID }),
  }));
  try {
    const fetched = await port.fetch(peer, { namespace, name, uid, ancestors }, signal);
    const incoming = await openIncoming(fetched.stream, options.streamLimits, signal);
    const how: Transfer = { phase: 'Receiving', ...describe(incoming.summary.parentUuid) };
    const progress = () => ({ ...how, bytes: incoming.stream.summary()?.bytes ?? 0 });
    const look = setInterval(() => onTransfer(progress()), LOOK_MS);
    try {
      await receiveSnapshot(storage, tree, { uid, namespace, name }, snapshot.spec, {
        expectedUUID: parent.status.receivedUUID ?? parent.status.uuid,
        receive: receiveConfined(storage, tree, uid, { incoming, signal }),
      });
    } finally {
      clearInterval(look);
      fetched.stream.destroy();
    }
    return { ...progress(), phase: 'Done' };
  } catch (error) {
    throw error instanceof TransferError ? asStorageError(error) : error;
  }
}

/** Node and address of the agent that has the Snapshot. Throws `not-ready` (SourceNotReady). */
export async function findPeer(
  { btrfsNodes }: Pick<SnapshotReconcilerOptions, 'btrfsNodes'>,
  parent: Snapshot,
  signal: AbortSignal,
): Promise<{ nodeName: string; endpoint: string }> {
  const { nodeName = '' } = parent.status;
  const node: BtrfsNode | undefined = await btrfsNodes.get(nodeName, { signal });
  const endpoint = node?.status.transferEndpoint;
  if (endpoint !== undefined) return { nodeName, endpoint };
  throw new StorageError('not-ready', `node ${nodeName}, which has the source, does not say where it can be reached`, {
    reason: 'SourceNotReady',
  });
}

/** What went wrong between two nodes is tried again; what the other end refuses waits for a change there. */
export function asStorageError(error: TransferError): StorageError {
  const isRefused = ['refused', 'busy', 'not-ready'].includes(error.code);
  return new StorageError(isRefused ? 'not-ready' : 'failed', `could not fetch the Snapshot: ${error.message}`, {
    reason: isRefused || error.code === 'unreachable' ? 'SourceNotReady' : 'TransferFailed',
    cause: error,
  });
}
