import type { BtrfsNode } from '../../api/btrfs-node.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import { ownerReferenceOf } from '../../kube/object.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Node } from '../../kube/resource-types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck } from '../../runtime/outcome.ts';
import type { Platform } from '../../storage/platform.ts';
import type { HostSpace } from '../../storage/root.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import type { StatusWriter } from '../status-writer.ts';
import { nodeStatusOf } from './status.ts';

/** Until a Node that is gone may be there again. */
const AWAIT_NODE_MS = 10_000;
/** Pressure and sizes wake the pass at once; this is for free space that moves slowly. */
const LOOK_AGAIN_MS = 60_000;

export interface NodeFacts {
  readonly platform: Platform;
  readonly space: HostSpace;
  readonly allocatableBytes: number;
  readonly committedBytes: number;
  readonly exportedBytes: number;
  readonly pressure: string | undefined;
  readonly orphans: readonly OrphanData[] | undefined;
  readonly transferEndpoint: string | undefined;
}

export interface NodeReconcilerOptions {
  readonly nodeName: string;
  readonly btrfsNodes: ResourceClient<BtrfsNode>;
  readonly nodes: ResourceClient<Node>;
  /** The cluster has Nodes at all. */
  readonly hasNodes: () => Promise<boolean>;
  readonly cached: (name: string) => BtrfsNode | undefined;
  readonly writer: StatusWriter<BtrfsNode>;
  readonly clock: Clock;
  readonly facts: (previous: BtrfsNode) => Promise<NodeFacts>;
  /** The status says this. Orphans that are removed then make another pass worth it. */
  readonly onWritten: (btrfsNode: BtrfsNode, orphans: NodeFacts['orphans']) => void;
}

/**
 * The BtrfsNode of this node exists, owned by its Node where there is one, and says what the node offers. None is made while the Node is
 * gone from a cluster that has Nodes: who took it away is about to take the machine away too.
 */
export function createNodeReconcile(options: NodeReconcilerOptions): () => Promise<Outcome> {
  return async () => {
    const previous = await ensureBtrfsNode(options);
    if (previous === undefined) return recheck(AWAIT_NODE_MS);
    const facts = await options.facts(previous);
    await options.writer.write(previous, nodeStatusOf({ ...facts, previous, now: options.clock.now() }));
    options.onWritten(previous, facts.orphans);
    return recheck(LOOK_AGAIN_MS);
  };
}

async function ensureBtrfsNode({
  nodeName,
  btrfsNodes,
  nodes,
  hasNodes,
  cached,
  writer,
}: NodeReconcilerOptions): Promise<BtrfsNode | undefined> {
  const known = cached(nodeName) ?? (await btrfsNodes.get(nodeName));
  if (known !== undefined) return writer.freshest(known);
  const node = await nodes.get(nodeName);
  if (node === undefined && (await hasNodes())) return undefined;
  const owners = node === undefined ? [] : [ownerReferenceOf(node)];
  try {
    return await btrfsNodes.create({ metadata: { name: nodeName, ownerReferences: owners } });
  } catch (error) {
    const made = isAlreadyExists(error) ? await btrfsNodes.get(nodeName) : undefined;
    if (made === undefined) throw error;
    return made;
  }
}
