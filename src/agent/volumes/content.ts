import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { StorageError } from '../../storage/errors.ts';
import { streamUUID } from '../../storage/snapshots/common-ancestor.ts';
import { receiveLocally } from '../../storage/snapshots/receive.ts';
import { pathsOf, planSend } from '../../storage/snapshots/send.ts';
import { attemptReceive } from '../../storage/streams/receive-complaint.ts';
import type { Content } from '../../storage/volumes/fill.ts';
import type { HostRoom } from '../host-room.ts';
import { type IncomingContent, withIncoming } from '../incoming-content.ts';
import type { OpenContent } from '../outside-content.ts';
import type { Cached } from '../snapshots/options.ts';
import { isCommitted, referenceKey } from '../snapshots/relations.ts';
import { type RemoteOptions, withRemoteContent } from '../snapshots/transfer-from-node.ts';

/** Where the content of new volumes comes from. */
export interface ContentOptions extends RemoteOptions {
  readonly nodeName: string;
  readonly snapshots: Cached<Snapshot>;
  readonly snapshotClient: ResourceClient<Snapshot>;
  readonly volumes: Cached<LoopbackVolume>;
  readonly openContent: OpenContent;
  readonly imageSources: 'On' | 'Off';
  readonly room: HostRoom;
}

export interface FillOptions {
  readonly signal: AbortSignal;
  /** Told how much has come so far. */
  readonly onBytes: (bytes: number) => void;
}

type Use = (content: Content) => Promise<void>;

/** Runs `use` with the content of the Snapshot or stream that spec.source names. Throws `not-ready` with a reason while it is not there. */
export async function withContent(
  options: ContentOptions,
  volume: LoopbackVolume,
  fill: FillOptions,
  use: Use,
): Promise<void> {
  const { snapshotRef, stream } = volume.spec.source ?? {};
  if (stream !== undefined) return await withStream(options, volume, stream, fill, use);
  if (snapshotRef === undefined) throw new Error('a volume without a source is not filled');
  const snapshot = await findSnapshot(options, volume, snapshotRef.name, fill.signal);
  const isLocal = snapshot.status.nodeName === options.nodeName;
  await (isLocal ? withLocalSnapshot : withRemoteSnapshot)(options, volume, snapshot, fill, use);
}

async function findSnapshot(
  { snapshots, snapshotClient }: ContentOptions,
  { metadata }: LoopbackVolume,
  name: string,
  signal: AbortSignal,
): Promise<Snapshot> {
  const key = `${metadata.namespace}/${name}`;
  const snapshot = snapshots.get(key) ?? (await snapshotClient.get(key, { signal }));
  if (snapshot === undefined) {
    throw notReady('SourceNotFound', `there is no Snapshot "${name}"; this volume goes on when it is made`);
  }
  if (snapshot.metadata.deletionTimestamp !== undefined) {
    throw notReady('SourceDeleted', `Snapshot "${name}" is being deleted; make a new volume from another one`);
  }
  if (isCommitted(snapshot)) return snapshot;
  if (snapshot.spec.access === 'ReadWrite') {
    throw notReady('SourceNotCommitted', `Snapshot "${name}" is still writable; set its spec.access to ReadOnly`);
  }
  throw notReady('SourceNotReady', `Snapshot "${name}" is not committed yet; this volume goes on when it is`);
}

async function withLocalSnapshot(
  { storage, volumes }: ContentOptions,
  volume: LoopbackVolume,
  snapshot: Snapshot,
  { signal, onBytes }: FillOptions,
  use: Use,
): Promise<void> {
  const sourceVolume = volumes.get(referenceKey(snapshot, snapshot.spec.volumeRef));
  if (sourceVolume === undefined) {
    throw notReady('SourceNotReady', `the volume of Snapshot "${snapshot.metadata.name}" is not on this node any more`);
  }
  await storage.withTree(sourceVolume.metadata.uid, async (sourceTree) => {
    const outgoing = await planSend(sourceTree, snapshot.metadata.uid, [], [], signal);
    const send = pathsOf(sourceTree, outgoing);
    await use({
      neededBytes: outgoing.dataBytes,
      incoming: () => ({
        expectedUUID: streamUUID(outgoing.subvolume),
        receive: receiveLocally(storage, volume.metadata.uid, { send, sourceTree, signal, onBytes }),
      }),
    });
  });
}

async function withRemoteSnapshot(
  options: ContentOptions,
  volume: LoopbackVolume,
  snapshot: Snapshot,
  fill: FillOptions,
  use: Use,
): Promise<void> {
  const { namespace = '', name, uid } = volume.metadata;
  const request = { namespace, name, uid, ancestors: [] };
  const expectedUUID = snapshot.status.receivedUUID ?? snapshot.status.uuid;
  await withRemoteContent(options, snapshot, request, fill.signal, (incoming) =>
    use(contentOf(incoming, volume, { expectedUUID, neededBytes: incoming.totalBytesEstimate }, fill)),
  );
}

async function withStream(
  options: ContentOptions,
  volume: LoopbackVolume,
  wanted: Parameters<OpenContent>[1],
  fill: FillOptions,
  use: Use,
): Promise<void> {
  const { namespace = '' } = volume.metadata;
  const { stream, totalBytes } = await options.openContent(namespace, wanted, fill.signal);
  await withIncoming(options, stream, fill.signal, async (incoming) => {
    const { uuid, parentUuid } = incoming.summary;
    if (parentUuid !== undefined) {
      throw new StorageError(
        'refused',
        `the stream is the difference to subvolume ${parentUuid}, which a new volume does not have; use a full stream`,
        { reason: 'ParentMissing' },
      );
    }
    await use(contentOf(incoming, volume, { expectedUUID: uuid, neededBytes: totalBytes }, fill));
  });
}

interface Expected {
  readonly expectedUUID: string | undefined;
  readonly neededBytes: number | undefined;
}

function contentOf(
  { bytes, receiveInto }: IncomingContent,
  { metadata }: LoopbackVolume,
  { expectedUUID, neededBytes }: Expected,
  { onBytes }: FillOptions,
): Content {
  const look = () => onBytes(bytes());
  return {
    neededBytes,
    incoming: (tree) => ({
      expectedUUID,
      async receive(staging) {
        await attemptReceive(() => receiveInto(tree, metadata.uid, look)(staging));
        look();
      },
    }),
  };
}

function notReady(reason: string, message: string): StorageError {
  return new StorageError('not-ready', message, { reason });
}
