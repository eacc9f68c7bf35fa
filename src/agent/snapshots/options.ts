import type { BtrfsNode } from '../../api/btrfs-node.ts';
import type { BuildCache } from '../../api/build-cache.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Snapshot, SnapshotStatus } from '../../api/snapshot.ts';
import type { EventRecorder } from '../../kube/events.ts';
import type { KubeObject } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { AgentMetrics } from '../../net/agent-metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Places } from '../../runtime/places.ts';
import type { Storage } from '../../storage/context.ts';
import type { StreamLimits } from '../../storage/streams/validate-stream.ts';
import type { HostRoom } from '../host-room.ts';
import type { OpenContent } from '../outside-content.ts';
import type { StatusWriter } from '../status-writer.ts';
import type { TransferPort } from '../transfer/port.ts';
import type { PodsUsing } from '../volumes/users.ts';

/** What the caches of an agent hold of a kind: the objects of its node. */
export interface Cached<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
}

/** What a pass over a Snapshot works with. */
export interface SnapshotReconcilerOptions {
  readonly nodeName: string;
  readonly storage: Storage;
  readonly client: ResourceClient<Snapshot>;
  /** What a Snapshot that goes is asked about: volumes and caches may be made of it on any node. */
  readonly volumeClient: Pick<ResourceClient<LoopbackVolume>, 'list'>;
  readonly cacheClient: Pick<ResourceClient<BuildCache>, 'list'>;
  readonly snapshots: Cached<Snapshot>;
  readonly volumes: Cached<LoopbackVolume>;
  readonly writer: StatusWriter<Snapshot>;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly onOperation: AgentMetrics['operationEnded'];
  readonly podsUsing: PodsUsing;
  readonly btrfsNodes: ResourceClient<BtrfsNode>;
  readonly namespaces: ResourceClient<KubeObject>;
  /** For exports. */
  readonly room: HostRoom;
  readonly transfer: Pick<TransferPort, 'fetch'>;
  /** For what comes in and for exports, which may take hours. */
  readonly longPlaces: Places;
  /** What streams from outside the node may hold. */
  readonly streamLimits: StreamLimits;
  readonly openContent: OpenContent;
}

export type Transfer = NonNullable<SnapshotStatus['transfer']>;

export interface MakeOptions {
  readonly signal: AbortSignal;
  readonly onTransfer: (transfer: Transfer) => void;
}
