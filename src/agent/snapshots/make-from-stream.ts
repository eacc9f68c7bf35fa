import type { Download } from '../../api/download.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { refuseWithoutRoom } from '../../storage/content-room.ts';
import { attempt } from '../../storage/context.ts';
import { receiveSnapshot } from '../../storage/snapshots/receive.ts';
import { attemptReceive } from '../../storage/streams/receive-complaint.ts';
import type { Tree } from '../../storage/tree.ts';
import { withIncoming } from '../incoming-content.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { roomIn } from './room.ts';
import { identityOf } from './transfer.ts';

/** The content of a send stream from outside is received into this Snapshot; says how. */
export async function makeFromStream(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  wanted: Download,
  tree: Tree,
  { signal, onTransfer }: MakeOptions,
): Promise<Transfer> {
  return await attempt('read the stream', async () => {
    const identity = identityOf(snapshot);
    const { stream, totalBytes } = await options.openContent(identity.namespace, wanted, signal);
    return await withIncoming(options, stream, signal, async ({ summary, bytes, receiveInto }) => {
      refuseWithoutRoom(totalBytes, await roomIn(options, snapshot));
      const how: Transfer = { phase: 'Receiving', ...describe(summary.parentUuid) };
      const receive = receiveInto(tree, identity.uid, () => onTransfer({ ...how, bytes: bytes() }));
      await receiveSnapshot(options.storage, tree, identity, snapshot.spec, {
        expectedUUID: summary.uuid,
        receive: (staging) => attemptReceive(() => receive(staging)),
      });
      return { ...how, bytes: bytes(), phase: 'Done' };
    });
  });
}

function describe(parentUUID: string | undefined): Pick<Transfer, 'incrementalFrom' | 'why'> {
  return parentUUID === undefined
    ? { why: 'all of it: the stream is a full one' }
    : { incrementalFrom: parentUUID, why: 'the difference only: the stream is an incremental one' };
}
