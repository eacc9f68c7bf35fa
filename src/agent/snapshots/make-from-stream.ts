import type { Download } from '../../api/download.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import { attempt } from '../../storage/context.ts';
import { receiveConfined, receiveSnapshot, type Staging } from '../../storage/snapshots/receive.ts';
import { openIncoming } from '../../storage/streams/incoming-stream.ts';
import { streamComplaintOf } from '../../storage/streams/receive-complaint.ts';
import type { Tree } from '../../storage/tree.ts';
import type { MakeOptions, SnapshotReconcilerOptions, Transfer } from './options.ts';
import { identityOf } from './transfer.ts';

/** How often the bytes of a stream are looked at. */
const LOOK_MS = 500;

/** The content of a send stream from outside is received into this Snapshot; says how. */
export async function makeFromStream(
  options: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  wanted: Download,
  tree: Tree,
  make: MakeOptions,
): Promise<Transfer> {
  return await attempt('read the stream', async () => {
    const { namespace } = identityOf(snapshot);
    const content = await options.openContent(namespace, wanted, make.signal);
    try {
      const incoming = await openIncoming(content.stream, options.streamLimits, make.signal);
      const how: Transfer = { phase: 'Receiving', ...describe(incoming.summary.parentUuid) };
      const progress = () => ({ ...how, bytes: incoming.stream.summary()?.bytes ?? 0 });
      using _look = every(LOOK_MS, () => make.onTransfer(progress()));
      await receive(options, snapshot, tree, { incoming, signal: make.signal });
      return { ...progress(), phase: 'Done' };
    } finally {
      content.stream.destroy();
    }
  });
}

async function receive(
  { storage }: SnapshotReconcilerOptions,
  snapshot: Snapshot,
  tree: Tree,
  from: Parameters<typeof receiveConfined>[3],
): Promise<void> {
  const confined = receiveConfined(storage, tree, snapshot.metadata.uid, from);
  await receiveSnapshot(storage, tree, identityOf(snapshot), snapshot.spec, {
    expectedUUID: from.incoming.summary.uuid,
    receive: async (staging: Staging) => {
      try {
        await confined(staging);
      } catch (error) {
        throw streamComplaintOf(error);
      }
    },
  });
}

function describe(parentUUID: string | undefined): Pick<Transfer, 'incrementalFrom' | 'why'> {
  return parentUUID === undefined
    ? { why: 'all of it: the stream is a full one' }
    : { incrementalFrom: parentUUID, why: 'the difference only: the stream is an incremental one' };
}

function every(ms: number, look: () => void): Disposable {
  const timer = setInterval(look, ms);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
