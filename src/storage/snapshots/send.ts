import { sendCommand } from '../../host/btrfs-stream.ts';
import type { RunningCommand } from '../../host/command.ts';
import { startCommand } from '../../host/run.ts';
import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import type { Tree, TreeSubvolume } from '../tree.ts';
import { findCommonAncestor, type StreamPoint } from './common-ancestor.ts';

/** What is sent of a committed Snapshot, and to what it is the difference. */
export interface Outgoing {
  readonly subvolume: TreeSubvolume;
  /** The receiver has it too; undefined: everything is sent. */
  readonly ancestor: TreeSubvolume | undefined;
}

/** Decides between all and the difference. `receiver` are read-only subvolumes that the other end has. */
export async function planSend(tree: Tree, uid: string, receiver: Iterable<StreamPoint>): Promise<Outgoing> {
  const subvolumes = await tree.list();
  const subvolume = subvolumes.get(treeLayout.committedPath(uid));
  if (subvolume?.readOnly !== true) {
    throw new StorageError('not-ready', 'the source is not committed in its volume', { reason: 'SourceNotReady' });
  }
  return { subvolume, ancestor: findCommonAncestor(subvolume, subvolumes.values(), receiver) };
}

/** Paths of {@link Outgoing} on the node. */
export function pathsOf(tree: Tree, { subvolume, ancestor }: Outgoing) {
  const path = (found: TreeSubvolume) => `${tree.path}/${found.path.slice(found.path.indexOf('/') + 1)}`;
  return { path: path(subvolume), parentPath: ancestor === undefined ? undefined : path(ancestor) };
}

/** Starts to send; the caller reads the stream and keeps the tree as it is until it has ended. */
export function startSend(storage: Storage, tree: Tree, outgoing: Outgoing, signal: AbortSignal): RunningCommand {
  return startCommand(sendCommand(pathsOf(tree, outgoing)), { ...storage.options, signal });
}
