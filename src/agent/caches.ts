import type { Logger } from 'pino';
import { type BtrfsNode, btrfsNodeType } from '../api/btrfs-node.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../api/loopback-volume.ts';
import { type Snapshot, snapshotType } from '../api/snapshot.ts';
import type { Change } from '../kube/object-store.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import type { Transport } from '../kube/transport.ts';

/** The server sends something every 60 s (bookmarks): after so long without a word the agent no longer knows what is wanted. */
const SILENCE_MS = 180_000;

/** Told of every change after the caches have it. */
export interface CacheListener {
  volumeChanged(change: Change<LoopbackVolume>): void;
  snapshotChanged(change: Change<Snapshot>): void;
  btrfsNodeChanged(): void;
}

/** What the API server says about this node: the objects that were placed on it, and its BtrfsNode. */
export interface Caches {
  readonly volumes: Reflector<LoopbackVolume>;
  readonly snapshots: Reflector<Snapshot>;
  readonly btrfsNodes: Reflector<BtrfsNode>;
  /** Resolves when all caches are whole. Throws the signal's reason. */
  synced(signal: AbortSignal): Promise<void>;
  /** Why the caches may not show what is wanted, undefined while they do. */
  complaint(): string | undefined;
  stop(): Promise<void>;
}

export interface CacheOptions {
  readonly transport: Transport;
  readonly nodeName: string;
  readonly log: Logger;
  readonly listener: CacheListener;
}

/** Starts to list and watch at once. */
export function startCaches({ transport, nodeName, log, listener }: CacheOptions): Caches {
  const fieldSelector = `status.nodeName=${nodeName}`;
  const volumes = startReflector({
    transport,
    type: loopbackVolumeType,
    fieldSelector,
    log,
    onChange: (change) => listener.volumeChanged(change),
  });
  const snapshots = startReflector({
    transport,
    type: snapshotType,
    fieldSelector,
    log,
    onChange: (change) => listener.snapshotChanged(change),
  });
  const btrfsNodes = startReflector({
    transport,
    type: btrfsNodeType,
    fieldSelector: `metadata.name=${nodeName}`,
    log,
    onChange: () => listener.btrfsNodeChanged(),
  });
  const all = [volumes, snapshots, btrfsNodes];
  return {
    volumes,
    snapshots,
    btrfsNodes,
    synced: async (signal) => void (await Promise.all(all.map((cache) => cache.synced(signal)))),
    complaint: () => (volumes.idleMs > SILENCE_MS ? 'the API server was not heard for 3 minutes' : undefined),
    stop: async () => void (await Promise.all(all.map((cache) => cache.stop()))),
  };
}
