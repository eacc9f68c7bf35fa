import { sendCommand } from '../../host/btrfs-stream.ts';
import type { RunningCommand } from '../../host/command.ts';
import { startCommand } from '../../host/run.ts';
import type { ListedSubvolume } from '../../host/subvolume-list.ts';
import { readReferencedBytes } from '../../host/subvolume-size.ts';
import { StorageError } from '../errors.ts';
import { treeLayout } from '../layout.ts';
import type { Tree } from '../tree.ts';
import { findCommonAncestor, type StreamPoint } from './common-ancestor.ts';
import { reckonSend } from './reckon.ts';

/** What is sent of a committed Snapshot, and to what it is the difference. */
export interface Outgoing {
  readonly subvolume: ListedSubvolume;
  /** The receiver has it too; undefined: everything is sent. */
  readonly ancestor: ListedSubvolume | undefined;
}

/** {@link Outgoing}, and how much it is. */
export interface SendPlan extends Outgoing {
  /** Of data in the stream, or at least so many. */
  readonly dataBytes: number;
  /** There is an ancestor, and the difference to it would be larger than all. */
  readonly isAllSmaller: boolean;
}

/** A difference of so much is taken without a look at how large all would be. */
const SMALL_BYTES = 16 * 1024 ** 2;

/**
 * Decides between all and the difference: what carries less data. `receiver` are read-only subvolumes that the other end has,
 * `lineage` pairs of uids of Snapshots of this volume, child and parent.
 */
export async function planSend(
  tree: Tree,
  uid: string,
  receiver: Iterable<StreamPoint>,
  lineage: Iterable<readonly [string, string]>,
  signal?: AbortSignal,
): Promise<SendPlan> {
  const subvolumes = await tree.listReadOnly();
  const subvolume = subvolumes.get(treeLayout.committedPath(uid));
  if (subvolume === undefined) {
    throw new StorageError('not-ready', 'the source is not committed in its volume', { reason: 'SourceNotReady' });
  }
  const uuidOf = (snapshotUid: string) => subvolumes.get(treeLayout.committedPath(snapshotUid))?.uuid;
  const pairs = [...lineage].flatMap(([child, parent]) => {
    const [childUUID, parentUUID] = [uuidOf(child), uuidOf(parent)];
    return childUUID === undefined || parentUUID === undefined ? [] : [[childUUID, parentUUID] as const];
  });
  const ancestor = findCommonAncestor(subvolume, subvolumes.values(), receiver, pairs);
  const all = { subvolume, ancestor: undefined };
  const reckon = (outgoing: Outgoing, enoughBytes?: number) =>
    reckonSend(tree, pathsOf(tree, outgoing), { signal, ...(enoughBytes === undefined ? {} : { enoughBytes }) });
  if (ancestor === undefined) return { ...all, dataBytes: (await reckon(all)).bytes, isAllSmaller: false };
  const difference = { subvolume, ancestor };
  const { bytes } = await reckon(difference);
  const whole = bytes > SMALL_BYTES ? await reckon(all, bytes) : undefined;
  const isAllSmaller = whole?.isAll === true && whole.bytes < bytes;
  return isAllSmaller
    ? { ...all, dataBytes: whole.bytes, isAllSmaller }
    : { ...difference, dataBytes: bytes, isAllSmaller };
}

/** Paths of {@link Outgoing} on the node. */
export function pathsOf(tree: Tree, { subvolume, ancestor }: Outgoing) {
  const path = (found: ListedSubvolume) => `${tree.path}/${found.path.slice(found.path.indexOf('/') + 1)}`;
  return { path: path(subvolume), parentPath: ancestor === undefined ? undefined : path(ancestor) };
}

/** Bytes of all files of what is sent, before compression. */
export async function contentBytesOf(tree: Tree, outgoing: Outgoing): Promise<number> {
  return await readReferencedBytes(tree.run, pathsOf(tree, outgoing).path);
}

/** Starts to send; the caller reads the stream and keeps the tree as it is until it has ended. */
export function startSend(tree: Tree, outgoing: Outgoing, signal: AbortSignal): RunningCommand {
  return startCommand(sendCommand(pathsOf(tree, outgoing)), { ...tree.transferOptions(), signal });
}
