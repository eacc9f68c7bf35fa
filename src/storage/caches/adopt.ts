import { adoptSubvolumes } from '../adopt-subvolumes.ts';
import { attempt } from '../context.ts';
import { StorageError } from '../errors.ts';
import type { TreeIdentity } from '../snapshots/snapshot.ts';
import type { Tree } from '../tree.ts';
import { readForeignCacheRecord } from './records.ts';

/**
 * The generations that were made for `orphanUid` are this cache's, with their numbers. `resetToken` counts as applied: adopting them is
 * no reason to begin anew. As {@link adoptSubvolumes}; throws `damaged` if the record can't be read.
 */
export async function adoptCache(
  tree: Tree,
  identity: TreeIdentity,
  orphanUid: string,
  resetToken: string,
): Promise<void> {
  const record = await attempt('read the record of the cache', () => readForeignCacheRecord(tree, orphanUid));
  if (record === 'damaged') {
    const message = `the record of ${orphanUid} can't be read; put back a copy of it`;
    throw new StorageError('damaged', message, { reason: 'RecordDamaged' });
  }
  await adoptSubvolumes(tree, orphanUid, { kind: 'BuildCache', identity, changes: { resetToken } });
}
