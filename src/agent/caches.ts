import type { Logger } from 'pino';
import { type BtrfsNode, btrfsNodeType } from '../api/btrfs-node.ts';
import { type BuildCache, buildCacheType } from '../api/build-cache.ts';
import { type BuildCacheClaim, buildCacheClaimType } from '../api/build-cache-claim.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../api/loopback-volume.ts';
import { type Snapshot, snapshotType } from '../api/snapshot.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import { type Reflector, startReflector } from '../kube/reflector.ts';
import type { ResourceType } from '../kube/resource-type.ts';
import type { Transport } from '../kube/transport.ts';

/** The server sends something every 60 s (bookmarks): after so long without a word the agent no longer knows what is wanted. */
const SILENCE_MS = 180_000;

/** Told of every change after the caches have it. */
export interface CacheListener {
  volumeChanged(change: Change<LoopbackVolume>): void;
  snapshotChanged(change: Change<Snapshot>): void;
  buildCacheChanged(change: Change<BuildCache>): void;
  claimChanged(change: Change<BuildCacheClaim>): void;
  btrfsNodeChanged(): void;
}

/** What the API server says about this node: the objects that were placed on it, and its BtrfsNode. */
export interface Caches {
  readonly volumes: Reflector<LoopbackVolume>;
  readonly snapshots: Reflector<Snapshot>;
  readonly buildCaches: Reflector<BuildCache>;
  readonly claims: Reflector<BuildCacheClaim>;
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
  const start = <T extends KubeObject>(
    type: ResourceType<T>,
    onChange: (change: Change<T>) => void,
    fieldSelector = `status.nodeName=${nodeName}`,
  ) => startReflector<T>({ transport, type, fieldSelector, log, onChange });
  const reflectors = {
    volumes: start<LoopbackVolume>(loopbackVolumeType, (change) => listener.volumeChanged(change)),
    snapshots: start<Snapshot>(snapshotType, (change) => listener.snapshotChanged(change)),
    buildCaches: start<BuildCache>(buildCacheType, (change) => listener.buildCacheChanged(change)),
    claims: start<BuildCacheClaim>(buildCacheClaimType, (change) => listener.claimChanged(change)),
    btrfsNodes: start<BtrfsNode>(btrfsNodeType, () => listener.btrfsNodeChanged(), `metadata.name=${nodeName}`),
  };
  const all = Object.values(reflectors);
  return {
    ...reflectors,
    synced: async (signal) => void (await Promise.all(all.map((cache) => cache.synced(signal)))),
    complaint: () =>
      reflectors.volumes.idleMs > SILENCE_MS ? 'the API server was not heard for 3 minutes' : undefined,
    stop: async () => void (await Promise.all(all.map((cache) => cache.stop()))),
  };
}
