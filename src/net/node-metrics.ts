import type { Registry } from 'prom-client';
import { addScrapedGauge, type Sample } from './scraped-gauge.ts';

/** What there is on a node, as its agent knows it at this moment. */
export interface NodeFigures {
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly allocatableBytes: number;
  readonly committedBytes: number;
  /** Undefined while it was not looked. */
  readonly orphans: { readonly count: number; readonly bytes: number } | undefined;
  readonly certificateEndsAt: Date | undefined;
}

type Named = { readonly namespace: string; readonly name: string };

/** What lives in a volume of the node. */
export interface VolumeContent extends Named {
  readonly snapshots: number;
}

export interface CacheContent extends Named {
  readonly generations: number;
  readonly activeClaims: number;
}

export interface NodeMetricsSource {
  readonly figures: () => NodeFigures;
  readonly volumes: () => Iterable<VolumeContent>;
  readonly caches: () => Iterable<CacheContent>;
}

/** Adds the metrics of what an agent has in its caches anyway. */
export function addNodeMetrics(registry: Registry, source: NodeMetricsSource): void {
  addFigures(registry, source.figures);
  addContent(registry, source);
}

function addFigures(registry: Registry, figures: NodeMetricsSource['figures']): void {
  const add = (name: string, help: string, read: (figures: NodeFigures) => number | undefined) =>
    addScrapedGauge(registry, {
      name,
      help,
      labelNames: [],
      read() {
        const value = read(figures());
        return value === undefined ? [] : [[{}, value] satisfies Sample<never>];
      },
    });
  add('btrfs_node_total_bytes', 'Size of the file system that holds the images.', ({ totalBytes }) => totalBytes);
  add('btrfs_node_free_bytes', 'Bytes free on the file system that holds the images.', ({ freeBytes }) => freeBytes);
  add(
    'btrfs_node_allocatable_bytes',
    'Sum of sizes that volumes of the node may have.',
    ({ allocatableBytes }) => allocatableBytes,
  );
  add(
    'btrfs_node_committed_bytes',
    'Sum of the sizes of the volumes of the node.',
    ({ committedBytes }) => committedBytes,
  );
  add('btrfs_node_orphans', 'Data on the node that belongs to no object.', ({ orphans }) => orphans?.count);
  add('btrfs_node_orphan_bytes', 'Bytes that data of no object takes on the node.', ({ orphans }) => orphans?.bytes);
  add(
    'btrfs_transfer_certificate_expiry_timestamp_seconds',
    'When the certificate for transfers between nodes ends, in seconds since 1970.',
    ({ certificateEndsAt }) => (certificateEndsAt === undefined ? undefined : certificateEndsAt.getTime() / 1000),
  );
}

function addContent(registry: Registry, { volumes, caches }: NodeMetricsSource): void {
  const labelNames = ['namespace', 'name'] as const;
  const samples = <T extends Named>(all: Iterable<T>, read: (item: T) => number) =>
    Array.from(all, (item): Sample<'namespace' | 'name'> => {
      const { namespace, name } = item;
      return [{ namespace, name }, read(item)];
    });
  addScrapedGauge(registry, {
    name: 'btrfs_volume_snapshots',
    help: 'Snapshots that live in the volume.',
    labelNames,
    read: () => samples(volumes(), ({ snapshots }) => snapshots),
  });
  addScrapedGauge(registry, {
    name: 'btrfs_cache_generations',
    help: 'Generations that the cache keeps.',
    labelNames,
    read: () => samples(caches(), ({ generations }) => generations),
  });
  addScrapedGauge(registry, {
    name: 'btrfs_cache_active_claims',
    help: 'Claims on the cache that have a clone, or wait for one.',
    labelNames,
    read: () => samples(caches(), ({ activeClaims }) => activeClaims),
  });
}
