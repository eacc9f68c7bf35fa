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
  /** The cluster has Nodes at all: where it has none (one machine with an API server), none can be missing. */
  readonly hasNodes: boolean;
  readonly btrfsNode: BtrfsNode | undefined;
}

export function nodeStateOf(facts: NodeFacts): NodeState {
  if (facts.agent !== 'silent') return 'present';
  if (facts.node !== undefined) return 'lost';
  return facts.btrfsNode === undefined || isOrphaned(facts.btrfsNode, facts) ? 'gone' : 'lost';
}

/** The Node of the BtrfsNode is no more. Of one without an owner, where there are no Nodes, only a person can tell. */
export function isOrphaned({ metadata }: BtrfsNode, { node, hasNodes }: Pick<NodeFacts, 'node' | 'hasNodes'>): boolean {
  const owner = metadata.ownerReferences?.find(({ kind }) => kind === 'Node');
  if (owner === undefined) return node === undefined && hasNodes;
  return owner.uid !== node?.metadata.uid;
}
