import type { BtrfsNode, BtrfsNodeStatus } from '../../api/btrfs-node.ts';
import { setCondition } from '../../api/conditions.ts';

/** The agent's status, whole, with Ready=Unknown: what else it had said stays as it was. */
export function lostStatus({ metadata, status }: BtrfsNode, message: string, now: Date): BtrfsNodeStatus {
  const conditions = setCondition(
    status.conditions,
    { type: 'Ready', status: 'Unknown', reason: 'NodeLost', message, observedGeneration: metadata.generation },
    now,
  );
  return { ...status, conditions };
}
