import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { findCondition, isTrue } from '../../api/conditions.ts';

/** Why nothing new can be placed on the node now, as it reads after its name. */
export function obstacleOf(btrfsNode: BtrfsNode, isLive: boolean): string | undefined {
  const why = whyIdle(btrfsNode, isLive);
  if (why !== undefined) return why;
  return isTrue(btrfsNode.status.conditions, 'HostPressure') ? 'is under host pressure' : undefined;
}

/** Why nobody works on the node now, as it reads after its name. */
export function whyIdle({ metadata, status }: BtrfsNode, isLive: boolean): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (!isLive) return 'has no live agent';
  if (findCondition(status.conditions, 'KernelSupported')?.status === 'False') return 'has an unsupported kernel';
  const ready = findCondition(status.conditions, 'Ready');
  return ready?.status === 'True' ? undefined : `is not ready (${ready?.reason ?? 'Pending'})`;
}
