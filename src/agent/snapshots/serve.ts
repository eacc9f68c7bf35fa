import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { TransferRefusal } from '../../net/transfer-protocol.ts';
import type { PeerRequest, ServedStream, StreamSource } from '../../net/transfer-server.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import { planSend, startSend } from '../../storage/snapshots/send.ts';
import type { Cached } from './options.ts';
import { lineageOf, referenceKey, sourceKey } from './relations.ts';

export interface ServeOptions {
  readonly nodeName: string;
  readonly storage: Storage;
  readonly client: ResourceClient<Snapshot>;
  readonly volumeClient: ResourceClient<LoopbackVolume>;
  readonly snapshots: Cached<Snapshot>;
  readonly volumes: Cached<{ readonly metadata: { readonly uid: string } }>;
}

/**
 * Sends Snapshots of this node to the agents that make others, or volumes, of them. The target is read from the API, not believed: it has to be the
 * object that the peer names, to be on the peer's node, not to be deleted, and to have as its source what is sent, in its own namespace.
 */
export function createStreamSource(options: ServeOptions): StreamSource {
  const { nodeName, client, volumes } = options;
  const sourceOf = async (request: PeerRequest, signal: AbortSignal) => {
    const target = await readTarget(options, request, signal);
    const key = sourceKey(target);
    const source = key === undefined ? undefined : await client.get(key, { signal });
    if (
      source === undefined ||
      source.status.nodeName !== nodeName ||
      source.metadata.deletionTimestamp !== undefined
    ) {
      throw new TransferRefusal('NotFound', `the source of ${keyText(request)} is not on this node`);
    }
    const volume = volumes.get(referenceKey(source, source.spec.volumeRef));
    if (volume === undefined) throw new TransferRefusal('NotFound', 'the volume of the source is not on this node');
    return { volumeUid: volume.metadata.uid, uid: source.metadata.uid };
  };
  return {
    authorise: async (request, signal) => void (await sourceOf(request, signal)),
    serve: async (request, signal) => await serve(options, await sourceOf(request, signal), request, signal),
  };
}

async function readTarget(
  { client, volumeClient }: ServeOptions,
  request: PeerRequest,
  signal: AbortSignal,
): Promise<Snapshot | LoopbackVolume> {
  const key = keyText(request);
  const isMeant = (object: Snapshot | LoopbackVolume | undefined) => object?.metadata.uid === request.uid;
  const snapshot = await client.get(key, { signal });
  const target = isMeant(snapshot) ? snapshot : await volumeClient.get(key, { signal });
  if (target === undefined || !isMeant(target)) {
    throw new TransferRefusal('NotFound', `there is no Snapshot or LoopbackVolume ${key} of this uid`);
  }
  if (target.metadata.deletionTimestamp !== undefined) {
    throw new TransferRefusal('Conflict', `${keyText(request)} is being deleted`);
  }
  if (target.status.nodeName !== request.peerNodeName) {
    throw new TransferRefusal('Forbidden', `${keyText(request)} is not on node ${request.peerNodeName}`);
  }
  return target;
}

/** The tree stays mounted until the last byte was read, or the peer has gone. */
async function serve(
  { storage, snapshots }: ServeOptions,
  { volumeUid, uid }: { readonly volumeUid: string; readonly uid: string },
  { ancestors }: PeerRequest,
  signal: AbortSignal,
): Promise<ServedStream> {
  const { promise, resolve, reject } = Promise.withResolvers<ServedStream>();
  const receiver = ancestors.map((ancestor) => ({ uuid: ancestor.uuid, receivedUUID: ancestor.receivedUuid }));
  storage
    .withTree(volumeUid, async (tree) => {
      const outgoing = await planSend(tree, uid, receiver, lineageOf(snapshots), signal);
      const { stdout, ended } = startSend(tree, outgoing, signal);
      const from = outgoing.ancestor?.uuid;
      resolve({
        stream: stdout,
        finished: ended,
        totalBytesEstimate: outgoing.dataBytes,
        isAllSmaller: outgoing.isAllSmaller,
        ...(from === undefined ? {} : { incrementalFrom: from }),
      });
      await ended.catch(() => undefined);
    })
    .catch((error: unknown) => {
      const isNotReady = error instanceof StorageError && error.code === 'not-ready';
      reject(isNotReady ? new TransferRefusal('Conflict', error.message) : error);
    });
  return await promise;
}

function keyText({ namespace, name }: PeerRequest): string {
  return `${namespace}/${name}`;
}
