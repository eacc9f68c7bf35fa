import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { isNodeLost } from '../../api/conditions.ts';
import { isOrphaned, type NodeFacts } from './node-state.ts';

export type NodeDecision =
  | { readonly kind: 'none' }
  | { readonly kind: 'mark-lost'; readonly btrfsNode: BtrfsNode }
  /** Its Node is gone and its agent too: where garbage collection runs it does the same. */
  | { readonly kind: 'delete'; readonly btrfsNode: BtrfsNode };

interface Told {
  /** The BtrfsNode was told so since the agent was last heard. */
  readonly isToldLost: boolean;
}

/** What the controller does about a node now. */
export function decideNode({ agent, node, btrfsNode, isToldLost }: NodeFacts & Told): NodeDecision {
  if (btrfsNode === undefined || agent !== 'silent') return { kind: 'none' };
  if (btrfsNode.metadata.deletionTimestamp !== undefined) return { kind: 'none' };
  if (isOrphaned(btrfsNode, node)) return { kind: 'delete', btrfsNode };
  return isToldLost || saysLost(btrfsNode) ? { kind: 'none' } : { kind: 'mark-lost', btrfsNode };
}

/** Ready says that the node is lost. */
export function saysLost({ status }: BtrfsNode): boolean {
  return isNodeLost(status.conditions);
}
