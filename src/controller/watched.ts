import { type BtrfsNode, btrfsNodeType } from '../api/btrfs-node.ts';
import { type BuildCache, buildCacheType } from '../api/build-cache.ts';
import { type BuildCacheClaim, buildCacheClaimType } from '../api/build-cache-claim.ts';
import { type LoopbackVolume, loopbackVolumeType } from '../api/loopback-volume.ts';
import { type Snapshot, snapshotType } from '../api/snapshot.ts';
import { type Managed, managedType } from '../kube/managed-fields.ts';
import type { Change } from '../kube/object-store.ts';
import { createResourceClient, type ResourceClient } from '../kube/resource-client.ts';
import type { ResourceType } from '../kube/resource-type.ts';
import { type Lease, leaseType, type Node, nodeType } from '../kube/resource-types.ts';
import type { Transport } from '../kube/transport.ts';

/** What the controller watches, by the name that it has in this room. */
export interface Watched {
  readonly volumes: LoopbackVolume;
  readonly snapshots: Snapshot;
  readonly caches: BuildCache;
  readonly claims: BuildCacheClaim;
  readonly btrfsNodes: BtrfsNode;
  readonly nodes: Node;
  /** In the namespace of the operator only. */
  readonly leases: Lease;
}

export type WatchedName = keyof Watched;

/** Those whose data is on one node. */
export const placedNames = ['volumes', 'snapshots', 'caches', 'claims'] as const satisfies readonly WatchedName[];
export type PlacedName = (typeof placedNames)[number];

export const watchedTypes: { readonly [Name in WatchedName]: ResourceType<Watched[Name]> } = {
  volumes: loopbackVolumeType,
  snapshots: snapshotType,
  caches: buildCacheType,
  claims: buildCacheClaimType,
  btrfsNodes: btrfsNodeType,
  nodes: nodeType,
  leases: leaseType,
};

/** One function for each, told of what changed. */
export type WatchedListeners = { readonly [Name in WatchedName]: (change: Change<Watched[Name]>) => void };

/** For a look at the server itself. */
export type WatchedClients = { readonly [Name in WatchedName]: ResourceClient<Watched[Name]> };

/** Likewise, for who has written what of an object whose data is on a node. */
export type ManagedClients = { readonly [Name in PlacedName]: ResourceClient<Managed<Watched[Name]>> };

export function createManagedClients(transport: Transport): ManagedClients {
  const client = <Name extends PlacedName>(name: Name) =>
    createResourceClient<Managed<Watched[Name]>>(
      transport,
      managedType(watchedTypes[name] as ResourceType<Watched[Name]>),
    );
  return {
    volumes: client('volumes'),
    snapshots: client('snapshots'),
    caches: client('caches'),
    claims: client('claims'),
  };
}

export function createWatchedClients(transport: Transport): WatchedClients {
  const client = <Name extends WatchedName>(name: Name) =>
    createResourceClient<Watched[Name]>(transport, watchedTypes[name]);
  return {
    volumes: client('volumes'),
    snapshots: client('snapshots'),
    caches: client('caches'),
    claims: client('claims'),
    btrfsNodes: client('btrfsNodes'),
    nodes: client('nodes'),
    leases: client('leases'),
  };
}
