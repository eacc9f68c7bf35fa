import { SNAPSHOT_FINALIZER } from '../../api/group.ts';
import type { Snapshot } from '../../api/snapshot.ts';
import type { Cluster } from '../cluster.ts';
import type { PlacedKind } from '../objects/placed-kind.ts';

/** A Snapshot goes where its volume is. */
export function snapshotKind(cluster: Cluster): PlacedKind<Snapshot> {
  return {
    finalizer: SNAPSHOT_FINALIZER,
    client: cluster.clients.snapshots,
    cached: (key) => cluster.snapshots.get(key),
    place({ metadata, spec }) {
      const { name } = spec.volumeRef;
      const volume = cluster.volumes.get(`${metadata.namespace}/${name}`);
      if (volume === undefined) {
        const message = `there is no LoopbackVolume "${name}" in namespace ${metadata.namespace}; make it, or make the Snapshot anew with another spec.volumeRef`;
        return { kind: 'none', reason: 'VolumeNotFound', message };
      }
      if (volume.metadata.deletionTimestamp !== undefined) {
        const message = `LoopbackVolume "${name}" is being deleted; nothing is made in it any more`;
        return { kind: 'none', reason: 'VolumeNotFound', message };
      }
      const { nodeName } = volume.status;
      if (nodeName !== undefined) return { kind: 'node', nodeName };
      return {
        kind: 'none',
        reason: 'VolumeNotPlaced',
        message: `LoopbackVolume "${name}" has no node yet; see its condition Scheduled`,
      };
    },
    // Its place takes nothing from others: a second decision is the same one.
    isAssumed: () => false,
    assume: () => () => undefined,
    tellsPlacement: false,
    leftBehind: ({ status }) => status.path ?? 'in its volume',
  };
}
