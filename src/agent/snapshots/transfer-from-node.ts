import type { BtrfsNode } from '../../api/btrfs-node.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { FetchedStream } from '../../net/transfer-client.ts';
import { TransferError } from '../../net/transfer-protocol.ts';
import { refuseWithoutRoom } from '../../storage/content-room.ts';
import { StorageError } from '../../storage/errors.ts';
import { receiveSnapshot } from '../../storage/snapshots/receive.ts';
import { nodeStreamLimits } from '../../storage/streams/validate-stream.ts';
import type { Tree } from '../../storage/tree.ts';
import { type IncomingContent, type IncomingContentOptions, withIncoming } from '../incoming-content.ts';
import type { TransferPort } from '../transfer/port.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { roomIn } from './room.ts';
import { describe, identityOf, pointsOf } from './transfer.ts';

/** Most that a request may name; the newest are the likely ones. */
const MAX_ANCESTORS = 1_000;

/** The content of a committed Snapshot of another node is received into this one; says how. */
export async function transferFromNode(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  parent: Snapshot,
  tree: Tree,
  { signal, onTransfer }: MakeOptions,
): Promise<Transfer> {
  const points = await pointsOf(tree);
  const ancestors = points.slice(-MAX_ANCESTORS).map(({ uuid, receivedUUID }) => ({
    uuid,
    ...(receivedUUID === undefined ? {} : { receivedUuid: receivedUUID }),
  }));
  const request = { ...identityOf(snapshot), ancestors };
  return await withRemoteContent(options, parent, request, signal, async (content) => {
    const { summary, bytes, receiveInto, totalBytesEstimate, isAllSmaller } = content;
    refuseWithoutRoom(totalBytesEstimate, await roomIn(options, snapshot));
    const how: Transfer = { phase: 'Receiving', ...describe(summary.parentUuid, isAllSmaller) };
    await receiveSnapshot(options.storage, tree, identityOf(snapshot), snapshot.spec, {
      expectedUUID: parent.status.receivedUUID ?? parent.status.uuid,
      receive: receiveInto(tree, request.uid, () => onTransfer({ ...how, bytes: bytes() })),
    });
    return { ...how, bytes: bytes(), phase: 'Done' };
  });
}

/** With what the sender says of it. */
type RemoteContent = IncomingContent & Omit<FetchedStream, 'stream'>;

/** How content comes from other nodes. */
export interface RemoteOptions extends IncomingContentOptions {
  readonly btrfsNodes: ResourceClient<BtrfsNode>;
  readonly transfer: Pick<TransferPort, 'fetch'>;
}

/** Runs `use` with the content of a committed Snapshot of another node. Throws `not-ready` with a reason while that can't be had. */
export async function withRemoteContent<T>(
  options: RemoteOptions,
  snapshot: Snapshot,
  request: Parameters<TransferPort['fetch']>[1],
  signal: AbortSignal,
  use: (content: RemoteContent) => Promise<T>,
): Promise<T> {
  const peer = await findPeer(options, snapshot, signal);
  try {
    const { stream, ...said } = await options.transfer.fetch(peer, request, signal);
    return await withIncoming({ ...options, streamLimits: nodeStreamLimits }, stream, signal, (content) =>
      use({ ...content, ...said }),
    );
  } catch (error) {
    throw error instanceof TransferError ? asStorageError(error) : error;
  }
}

/** Node and address of the agent that has the Snapshot. Throws `not-ready` (SourceNotReady). */
async function findPeer(
  { btrfsNodes }: Pick<RemoteOptions, 'btrfsNodes'>,
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
function asStorageError(error: TransferError): StorageError {
  const isRefused = ['refused', 'busy', 'not-ready'].includes(error.code);
  return new StorageError(isRefused ? 'not-ready' : 'failed', `could not fetch the Snapshot: ${error.message}`, {
    reason: isRefused || error.code === 'unreachable' ? 'SourceNotReady' : 'TransferFailed',
    cause: error,
  });
}
