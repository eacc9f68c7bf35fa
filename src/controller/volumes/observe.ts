import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { findCondition, isTrue } from '../../api/conditions.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { keyOf } from '../../kube/object.ts';
import type { Cluster } from '../cluster.ts';
import { sizeBytesOf } from './commitments.ts';
import type { VolumeWorld } from './decide.ts';
import { decidePlacement, type NodeOffer } from './placement.ts';

/** All that a decision about the volume rests on, from the caches. */
export function observeVolume(cluster: Cluster, volume: LoopbackVolume): VolumeWorld {
  const { spec, status } = volume;
  return {
    volume,
    nodeState: status.nodeName === undefined ? undefined : cluster.nodeStateOf(status.nodeName),
    isAssumed: cluster.commitments.isAssumed(keyOf(volume)),
    placement: () =>
      decidePlacement(
        { sizeBytes: sizeBytesOf(spec), nodeName: spec.nodeName, nodeSelector: spec.nodeSelector },
        [...cluster.btrfsNodes.values()].map((btrfsNode) => offerOf(cluster, btrfsNode)),
      ),
  };
}

function offerOf(cluster: Cluster, btrfsNode: BtrfsNode): NodeOffer {
  const { name } = btrfsNode.metadata;
  const node = cluster.nodes.get(name);
  return {
    name,
    obstacle: obstacleOf(btrfsNode, cluster.liveness.stateOf(name) === 'live'),
    labels: node === undefined ? undefined : (node.metadata.labels ?? {}),
    allocatableBytes: btrfsNode.status.allocatableBytes ?? 0,
    committedBytes: cluster.commitments.bytesOn(name),
  };
}

/** Why nothing can be placed on the node now, as it reads after its name. */
export function obstacleOf({ metadata, status }: BtrfsNode, isLive: boolean): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (!isLive) return 'has no live agent';
  if (findCondition(status.conditions, 'KernelSupported')?.status === 'False') return 'has an unsupported kernel';
  const ready = findCondition(status.conditions, 'Ready');
  if (ready?.status !== 'True') return `is not ready (${ready?.reason ?? 'Pending'})`;
  return isTrue(status.conditions, 'HostPressure') ? 'is under host pressure' : undefined;
}
