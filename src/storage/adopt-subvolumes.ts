import { renameTo } from '../host/files.ts';
import { refuseStranger } from './adoption.ts';
import { attempt } from './context.ts';
import { StorageError } from './errors.ts';
import { homePath, ownerAt, type TreeKind, treeLayout } from './layout.ts';
import { mountPointsOf, type TreeIdentity } from './snapshots/snapshot.ts';
import { RECORD_NAME, type Tree } from './tree.ts';
import { readIdentity } from './tree-orphans.ts';

export interface Heir {
  readonly kind: TreeKind;
  readonly identity: TreeIdentity;
  /** What its record says from now on beside the identity. */
  readonly changes: Readonly<Record<string, unknown>>;
  /** Moves what lies elsewhere on the node, before the step that counts: so a repeated run goes on with it. */
  readonly moveRest?: () => Promise<void>;
}

/**
 * Subvolumes and record that were made for `orphanUid` are this object's, on disk. The record is changed first; one rename of the
 * directory of both is the step that counts, so a crash leaves all of it under one of the two uids, and a repeated run goes on. (A
 * read-only subvolume can't be moved into another directory, but that directory can be renamed.) The caller has seen that there is
 * nothing of this object. Throws `refused` (OrphanNotFound, AdoptionRefused), or `in-use` while something has it mounted.
 */
export async function adoptSubvolumes(tree: Tree, orphanUid: string, { kind, identity, ...heir }: Heir): Promise<void> {
  await attempt('adopt what is in the volume', async () => {
    const from = homePath(kind, orphanUid);
    const record = await readIdentity(tree, kind, orphanUid);
    const owners = [...(await tree.list()).keys()].flatMap((path) => ownerAt(path) ?? []);
    const owner = owners.find(({ uid }) => uid === orphanUid);
    if (owner === undefined) {
      const message = `there is nothing of ${orphanUid} in the volume; see status.orphans of the BtrfsNode, and make the ${kind} anew with the right uid and volume`;
      throw new StorageError('refused', message, { reason: 'OrphanNotFound' });
    }
    if (owner.kind !== kind) {
      const message = `what is there of ${orphanUid} is a ${owner.kind}, and this is a ${kind}; it stays as it is`;
      throw new StorageError('refused', message, { reason: 'AdoptionRefused' });
    }
    refuseStranger(record, { kind, ...identity });
    const mountPoints = await mountPointsOf(tree, from);
    if (mountPoints.length > 0) {
      const message = `it is mounted at ${mountPoints.slice(0, 3).join(', ')}; unmount it there`;
      throw new StorageError('in-use', message, { reason: 'InUse' });
    }
    await tree.replaceRecord(`${from}/${RECORD_NAME}`, { ...record, ...heir.changes, uid: identity.uid });
    await heir.moveRest?.();
    await tree.removeSubvolume(treeLayout.stagingPath(orphanUid));
    await renameTo(tree.run, `${tree.path}/${from}`, `${tree.path}/${homePath(kind, identity.uid)}`);
    await tree.sync();
  });
}
