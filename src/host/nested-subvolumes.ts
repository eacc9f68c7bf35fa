import type { Run } from './command.ts';

/** So many that they take longer go on with the next try. */
const TIMEOUT_MS = 30 * 60_000;
/** The root of every subvolume has this inode number, and nothing else has (BTRFS_FIRST_FREE_OBJECTID). */
const IS_SUBVOLUME = ['-inum', '256'];
/** Some can't be changed: whoever calls looks afterwards. */
const okExitCodes = [0, 1];

/**
 * The subvolumes below `path` are gone, the deepest first, but for those that can't be deleted as they are. Names are never read here: a
 * tenant chose them. `path` is the mount point of one subvolume alone, so nothing else can be reached. Not on disk before a sync.
 */
export async function deleteNested(run: Run, path: string): Promise<void> {
  const each = ['-exec', 'btrfs', '-q', 'subvolume', 'delete', '--', '{}', '+'];
  const args = [path, '-depth', '-mindepth', '1', ...IS_SUBVOLUME, ...each];
  await run({ file: 'find', args, timeoutMs: TIMEOUT_MS, okExitCodes });
}

/**
 * Nothing that a tenant, or a pod with the right to it, has set keeps the subvolume at `path` and those below from being deleted:
 * none of them is read-only, and no directory is immutable or append-only. As for {@link deleteNested}.
 */
export async function unsealAll(run: Run, path: string): Promise<void> {
  const writable = ['-exec', 'btrfs', 'property', 'set', '-f', '-t', 'subvol', '--', '{}', 'ro', 'false', ';'];
  await run({ file: 'find', args: [path, ...IS_SUBVOLUME, ...writable], timeoutMs: TIMEOUT_MS, okExitCodes });
  // Those above a subvolume count as well: a walk over all is one command for thousands of directories.
  const free = ['-type', 'd', '-exec', 'chattr', '-f', '-i', '-a', '--', '{}', '+'];
  await run({ file: 'find', args: [path, ...free], timeoutMs: TIMEOUT_MS, okExitCodes });
}
