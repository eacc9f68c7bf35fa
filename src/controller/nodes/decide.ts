import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { isNodeLost } from '../../api/conditions.ts';
import type { Lease } from '../../kube/resource-types.ts';
import { isOrphaned, type NodeFacts } from './node-state.ts';

export type NodeDecision =
  | { readonly kind: 'none' }
  | { readonly kind: 'mark-lost'; readonly btrfsNode: BtrfsNode }
  /** Its Node is gone and its agent too: where garbage collection runs it does the same. */
  | { readonly kind: 'delete'; readonly btrfsNode: BtrfsNode }
  /** Likewise the Lease, when the BtrfsNode has gone: an agent that outlived its Node had renewed it. */
  | { readonly kind: 'delete-lease'; readonly lease: Lease };

interface Held {
  /** As the cache has it. */
  readonly lease: Lease | undefined;
  /** The BtrfsNode was told so since the agent was last heard. */
  readonly isToldLost: boolean;
}

/** What the controller does about a node now. */
export function decideNode({ btrfsNode, lease, isToldLost, ...facts }: NodeFacts & Held): NodeDecision {
  if (facts.agent !== 'silent') return { kind: 'none' };
  if (btrfsNode === undefined) {
    return lease === undefined || facts.node !== undefined ? { kind: 'none' } : { kind: 'delete-lease', lease };
  }
  if (btrfsNode.metadata.deletionTimestamp !== undefined) return { kind: 'none' };
  if (isOrphaned(btrfsNode, facts)) return { kind: 'delete', btrfsNode };
  return isToldLost || saysLost(btrfsNode) ? { kind: 'none' } : { kind: 'mark-lost', btrfsNode };
}

/** Ready says that the node is lost. */
export function saysLost({ status }: BtrfsNode): boolean {
  return isNodeLost(status.conditions);
}
