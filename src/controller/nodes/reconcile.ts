import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { agentManager } from '../../api/group.ts';
import { isConflict, isNotFound } from '../../kube/errors.ts';
import type { EventRecorder } from '../../kube/events.ts';
import { keyOf } from '../../kube/object.ts';
import type { Lease } from '../../kube/resource-types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck, settled } from '../../runtime/outcome.ts';
import type { Cluster } from '../cluster.ts';
import { lostPatch } from '../lost-patch.ts';
import { patchTested } from '../tested-patch.ts';
import { placedNames } from '../watched.ts';
import { decideNode, saysLost } from './decide.ts';
import type { NodeState } from './node-state.ts';

export interface NodeReconcileOptions {
  readonly cluster: Cluster;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** The node is in another state than when it was last looked at. */
  readonly onStateChange: (nodeName: string) => void;
}

// A Lease that comes back is an event; this is for one that was missed.
const SAFETY_NET_MS = 60_000;
const CONFLICT_MS = 500;
// Just after the Lease has expired, not just before.
const MARGIN_MS = 10;

/** The part of the controller in the life of nodes: it notices when one is lost, says so, and removes what is left of those that are gone. */
export function createNodeReconcile({ cluster, events, clock, onStateChange }: NodeReconcileOptions) {
  const states = new Map<string, NodeState>();

  const noteState = (name: string) => {
    const state = cluster.nodeStateOf(name);
    if (states.get(name) === state) return;
    states.set(name, state);
    onStateChange(name);
  };

  const markLost = async ({ metadata }: BtrfsNode, signal: AbortSignal) => {
    const { name } = metadata;
    if ((await cluster.liveness.confirm(name, signal)) !== 'silent') return undefined;
    const current = await cluster.clients.btrfsNodes.get(name, { signal });
    if (current === undefined) return undefined;
    cluster.liveness.noteTold(name, current.metadata.uid);
    if (saysLost(current)) return undefined;
    const message = `the agent of node ${name} has stopped renewing its Lease; see that the node is up and the agent runs`;
    const options = { subresource: 'status', fieldManager: agentManager(name), signal };
    await patchTested(cluster.clients.btrfsNodes, current, lostPatch(current, message, clock.now()), options);
    events.record(current, 'Warning', 'NodeLost', 'Observe', message);
    return 'marked lost';
  };

  const removeOrphan = async ({ metadata: { name, uid } }: BtrfsNode, signal: AbortSignal) => {
    if ((await cluster.confirmNodeState(name, signal)) !== 'gone') return undefined;
    await cluster.clients.btrfsNodes.delete(name, { uid, signal });
    return 'deleted';
  };

  const removeLease = async (name: string, lease: Lease, signal: AbortSignal) => {
    if ((await cluster.confirmNodeState(name, signal)) !== 'gone') return undefined;
    const { uid, resourceVersion } = lease.metadata;
    await cluster.clients.leases.delete(keyOf(lease), { uid, resourceVersion, signal });
    return 'Lease deleted';
  };

  const isKnown = (name: string) =>
    cluster.btrfsNodes.get(name) !== undefined ||
    cluster.liveness.leaseOf(name) !== undefined ||
    placedNames.some((kind) => cluster.objectsOn(kind, name).length > 0);

  return async (name: string, signal: AbortSignal): Promise<Outcome> => {
    const btrfsNode = cluster.btrfsNodes.get(name);
    noteState(name);
    if (!isKnown(name)) {
      states.delete(name);
      return settled;
    }
    const decision = decideNode({
      agent: cluster.liveness.stateOf(name),
      node: cluster.nodes.get(name),
      hasNodes: cluster.hasNodes,
      btrfsNode,
      lease: cluster.liveness.leaseOf(name),
      isToldLost: btrfsNode !== undefined && cluster.liveness.isTold(name, btrfsNode.metadata.uid),
    });
    let step: string | undefined;
    try {
      if (decision.kind === 'mark-lost') step = await markLost(decision.btrfsNode, signal);
      if (decision.kind === 'delete') step = await removeOrphan(decision.btrfsNode, signal);
      if (decision.kind === 'delete-lease') step = await removeLease(name, decision.lease, signal);
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return recheck(CONFLICT_MS);
      throw error;
    }
    const remainingMs = cluster.liveness.remainingMs(name);
    return recheck(remainingMs > 0 ? remainingMs + MARGIN_MS : SAFETY_NET_MS, step);
  };
}
