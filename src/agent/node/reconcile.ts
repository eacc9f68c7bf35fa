import type { BtrfsNode, BtrfsNodeStatus } from '../../api/btrfs-node.ts';
import { isAlreadyExists } from '../../kube/errors.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import type { Node } from '../../kube/resource-types.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck } from '../../runtime/outcome.ts';
import type { Platform } from '../../storage/platform.ts';
import type { HostSpace } from '../../storage/root.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';
import type { StatusWriter } from '../status-writer.ts';
import { nodeStatusOf } from './status.ts';

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
  readonly cached: (name: string) => BtrfsNode | undefined;
  readonly writer: StatusWriter<BtrfsNode, BtrfsNodeStatus>;
  readonly clock: Clock;
  readonly facts: (previous: BtrfsNode) => Promise<NodeFacts>;
  /** The status says this. Orphans that are removed then make another pass worth it. */
  readonly onWritten: (btrfsNode: BtrfsNode, orphans: NodeFacts['orphans']) => void;
}

/** The BtrfsNode of this node exists, owned by its Node where there is one, and says what the node offers. */
export function createNodeReconcile(options: NodeReconcilerOptions): () => Promise<Outcome> {
  return async () => {
    const previous = await ensureBtrfsNode(options);
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
  cached,
  writer,
}: NodeReconcilerOptions): Promise<BtrfsNode> {
  const known = cached(nodeName) ?? (await btrfsNodes.get(nodeName));
  if (known !== undefined) return writer.freshest(known);
  const node = await nodes.get(nodeName);
  const owners = node === undefined ? [] : [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid: node.metadata.uid }];
  try {
    return await btrfsNodes.create({ metadata: { name: nodeName, ownerReferences: owners } });
  } catch (error) {
    const made = isAlreadyExists(error) ? await btrfsNodes.get(nodeName) : undefined;
    if (made === undefined) throw error;
    return made;
  }
}
