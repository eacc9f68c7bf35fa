import { SNAPSHOT_FINALIZER } from '../../api/group.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { Cluster } from '../cluster.ts';
import { follows, followVolume } from '../objects/follow.ts';
import type { PlacedKind } from '../objects/placed-kind.ts';

/** A Snapshot goes where its volume is. */
export function snapshotKind(cluster: Cluster): PlacedKind<Snapshot> {
  return {
    ...follows,
    finalizer: SNAPSHOT_FINALIZER,
    client: cluster.clients.snapshots,
    managed: cluster.managed.snapshots,
    cached: (key) => cluster.snapshots.get(key),
    place: (snapshot) => followVolume(cluster, snapshot),
    leftBehind: ({ status }) => status.path ?? 'in its volume',
  };
}
