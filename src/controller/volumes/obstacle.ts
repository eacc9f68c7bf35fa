import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { findCondition, isTrue } from '../../api/conditions.ts';
import type { Node } from '../../kube/resource-types.ts';

/** Why nothing new can be placed on the node now, as it reads after its name. */
export function obstacleOf(btrfsNode: BtrfsNode, isLive: boolean): string | undefined {
  const why = whyIdle(btrfsNode, isLive);
  if (why !== undefined) return why;
  return isTrue(btrfsNode.status.conditions, 'HostPressure') ? 'is under host pressure' : undefined;
}

/**
 * Why its administrators want nothing new on the node, as it reads after its name: what the scheduler would say to a pod without
 * tolerations. A volume whose spec names the node goes there all the same, as a pod with spec.nodeName does.
 */
export function reservationOf(node: Node | undefined): string | undefined {
  if (node?.spec?.unschedulable === true) return 'is cordoned';
  const taint = node?.spec?.taints?.find(({ effect }) => effect === 'NoSchedule' || effect === 'NoExecute');
  if (taint === undefined) return undefined;
  const { key, value, effect } = taint;
  return `has the taint ${key}${value === undefined || value === '' ? '' : `=${value}`}:${effect}`;
}

/** Why nobody works on the node now, as it reads after its name. */
export function whyIdle({ metadata, status }: BtrfsNode, isLive: boolean): string | undefined {
  if (metadata.deletionTimestamp !== undefined) return 'is being deleted';
  if (!isLive) return 'has no live agent';
  if (findCondition(status.conditions, 'KernelSupported')?.status === 'False') return 'has an unsupported kernel';
  const ready = findCondition(status.conditions, 'Ready');
  return ready?.status === 'True' ? undefined : `is not ready (${ready?.reason ?? 'Pending'})`;
}
