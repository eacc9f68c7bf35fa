import type { BtrfsNode } from '../../api/btrfs-node.ts';
import type { Node } from '../../kube/resource-types.ts';
import type { AgentState } from './liveness.ts';

/**
 * `present`: its agent is there, or was a moment ago. `lost`: its agent is silent; it may come back. `gone`: silent, and the
 * cluster has no such node any more: it won't.
 */
export type NodeState = 'present' | 'lost' | 'gone';

export interface NodeFacts {
  readonly agent: AgentState;
  /** The Node of the name, if there is one. */
  readonly node: Node | undefined;
  readonly btrfsNode: BtrfsNode | undefined;
}

export function nodeStateOf({ agent, node, btrfsNode }: NodeFacts): NodeState {
  if (agent !== 'silent') return 'present';
  if (node !== undefined) return 'lost';
  return btrfsNode === undefined || isOrphaned(btrfsNode, node) ? 'gone' : 'lost';
}

/** The BtrfsNode belongs to a Node that is no more. One without an owner was made where there are no Nodes: only a person can tell. */
export function isOrphaned(btrfsNode: BtrfsNode, node: Node | undefined): boolean {
  const owner = btrfsNode.metadata.ownerReferences?.find(({ kind }) => kind === 'Node');
  return owner !== undefined && owner.uid !== node?.metadata.uid;
}
