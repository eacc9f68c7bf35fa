import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { VOLUME_FINALIZER } from '../../api/group.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import type { Cluster } from '../cluster.ts';
import type { PlacedKind } from '../objects/placed-kind.ts';
import { placeWhereItsDataIs } from './adoption.ts';
import { sizeBytesOf } from './commitments.ts';
import { obstacleOf, reservationOf } from './obstacle.ts';
import { decidePlacement, type NodeOffer } from './placement.ts';

/** A LoopbackVolume goes to the node with the most free capacity among those that its spec allows. */
export function volumeKind(cluster: Cluster): PlacedKind<LoopbackVolume> {
  const { commitments } = cluster;
  return {
    finalizer: VOLUME_FINALIZER,
    client: cluster.clients.volumes,
    managed: cluster.managed.volumes,
    cached: (key) => cluster.volumes.get(key),
    place(volume) {
      const { spec } = volume;
      const btrfsNodes = [...cluster.btrfsNodes.values()];
      const isLive = ({ metadata }: BtrfsNode) => cluster.liveness.stateOf(metadata.name) === 'live';
      return (
        placeWhereItsDataIs(volume, btrfsNodes, isLive) ??
        decidePlacement(
          { sizeBytes: sizeBytesOf(spec), nodeName: spec.nodeName, nodeSelector: spec.nodeSelector },
          btrfsNodes.map((btrfsNode) => offerOf(cluster, btrfsNode)),
        )
      );
    },
    isAssumed: commitments.isAssumed,
    assume(volume, nodeName) {
      const key = keyOf(volume);
      commitments.assume(key, nodeName, sizeBytesOf(volume.spec));
      return () => commitments.release(key);
    },
    tellsPlacement: true,
    leftBehind: ({ status }) => status.imagePath ?? 'its image',
  };
}

function offerOf(cluster: Cluster, btrfsNode: BtrfsNode): NodeOffer {
  const { name } = btrfsNode.metadata;
  const node = cluster.nodes.get(name);
  return {
    name,
    obstacle:
      node === undefined && cluster.hasNodes
        ? 'has no Node any more'
        : obstacleOf(btrfsNode, cluster.liveness.stateOf(name) === 'live'),
    reservation: reservationOf(node),
    labels: node === undefined ? undefined : (node.metadata.labels ?? {}),
    allocatableBytes: btrfsNode.status.allocatableBytes ?? 0,
    committedBytes: cluster.commitments.bytesOn(name) + (btrfsNode.status.exportedBytes ?? 0),
  };
}
