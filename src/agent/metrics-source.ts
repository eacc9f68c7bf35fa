import { type KubeObject, keyOf } from '../kube/object.ts';
import type { VolumeName } from '../net/agent-metrics.ts';
import type { NodeMetricsSource } from '../net/node-metrics.ts';
import type { Caches } from './caches.ts';
import type { HostState } from './host-state.ts';
import { referenceKey } from './snapshots/relations.ts';
import type { TransferPort } from './transfer/port.ts';

export interface NodeParts {
  readonly nodeName: string;
  readonly caches: Pick<Caches, 'volumes' | 'snapshots' | 'buildCaches' | 'btrfsNodes'>;
  readonly host: Pick<HostState, 'space' | 'allocatableBytes' | 'committedBytes'>;
  readonly transfer: Pick<TransferPort, 'certificateEndsAt'>;
}

/** What the agent knows anyway, for metrics: looks at nothing but its caches. */
export function nodeMetricsSource({ nodeName, caches, host, transfer }: NodeParts): NodeMetricsSource {
  return {
    figures: () => ({
      totalBytes: host.space.totalBytes,
      freeBytes: host.space.freeBytes,
      allocatableBytes: host.allocatableBytes,
      committedBytes: host.committedBytes(),
      orphans: orphansOf(caches, nodeName),
      certificateEndsAt: transfer.certificateEndsAt,
    }),
    *volumes() {
      const counts = new Map<string, number>();
      for (const snapshot of caches.snapshots.values()) {
        const key = referenceKey(snapshot, snapshot.spec.volumeRef);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
      for (const volume of caches.volumes.values()) {
        yield { ...nameOf(volume), snapshots: counts.get(keyOf(volume)) ?? 0 };
      }
    },
    *caches() {
      for (const cache of caches.buildCaches.values()) {
        const { generations = [], activeClaims = 0 } = cache.status;
        yield { ...nameOf(cache), generations: generations.length, activeClaims };
      }
    },
  };
}

/** The labels of a series that is about an object. */
export function nameOf({ metadata }: KubeObject): VolumeName {
  const { namespace = '', name } = metadata;
  return { namespace, name };
}

function orphansOf({ btrfsNodes }: NodeParts['caches'], nodeName: string) {
  const status = btrfsNodes.get(nodeName)?.status;
  if (status?.conditions === undefined) return undefined;
  const { orphans = [], orphanCount = orphans.length } = status;
  return { count: orphanCount, bytes: orphans.reduce((sum, { bytes = 0 }) => sum + bytes, 0) };
}
