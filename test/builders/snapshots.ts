import type { Report, Seen } from '../../src/agent/snapshots/status.ts';
import { parseSnapshot, type Snapshot, type SnapshotStatus } from '../../src/api/snapshot.ts';
import type { ListedSubvolume } from '../../src/host/subvolume-list.ts';
import type { ObjectMeta } from '../../src/kube/object.ts';

export interface SnapshotParts {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Partial<SnapshotStatus>;
}

/** A Snapshot ns/snap of the data of volume `vol` on node-a, of which nothing was made yet. */
export function snapshotOf({ metadata = {}, spec = {}, status = {} }: SnapshotParts = {}): Snapshot {
  const name = metadata.name ?? 'snap';
  return parseSnapshot({
    metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion: '1', generation: 1, ...metadata },
    spec: { volumeRef: { name: 'vol' }, ...spec },
    status: { nodeName: 'node-a', observedGeneration: -1, ...status },
  });
}

/** One that is made of another, and Ready. */
export function childOf(parent: string, parts: SnapshotParts = {}): Snapshot {
  const spec = { source: { snapshotRef: { name: parent } }, ...parts.spec };
  return snapshotOf({ ...parts, spec, status: { uuid: `uuid-${parts.metadata?.name}`, ...parts.status } });
}

export function subvolumeOf(name: 'rw' | 'ro', parts: Partial<ListedSubvolume> = {}): ListedSubvolume {
  return {
    id: name === 'ro' ? 257 : 256,
    uuid: `uuid-${name}`,
    parentUUID: 'uuid-data',
    receivedUUID: undefined,
    generation: 7,
    path: `.btrfs-operator/snapshots/uid-snap/${name}`,
    ...parts,
  };
}

/** What is on disk of a Snapshot, nothing unless it is given. */
export function seenOf(parts: Partial<Seen> = {}): Seen {
  return {
    writable: undefined,
    committed: undefined,
    staging: undefined,
    tree: { path: '/root/volumes/uid-vol', device: '/dev/loop7' },
    ...parts,
  };
}

/** A report of a Snapshot about which there is nothing to say yet. */
export function snapshotReport(parts: Partial<Report> = {}): Report {
  return {
    snapshot: snapshotOf(),
    seen: seenOf(),
    refusal: undefined,
    children: [],
    parent: undefined,
    nested: undefined,
    now: new Date('2026-01-02T00:00:00Z'),
    ...parts,
  };
}

/** A cache that holds these objects. */
export function cacheOf(...snapshots: readonly Snapshot[]) {
  const byKey = new Map(snapshots.map((one) => [`${one.metadata.namespace}/${one.metadata.name}`, one]));
  return { get: (key: string) => byKey.get(key), values: () => byKey.values() };
}
