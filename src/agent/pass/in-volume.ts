import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import type { Storage } from '../../storage/context.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Tree } from '../../storage/tree.ts';

/**
 * Runs `work`, which removes something that lives in a volume. What goes with its volume is not waited for: that went before and took
 * all that was in it along, or goes and can't be looked into any more. Returns what was done, for the log.
 */
export async function removeFromVolume(
  storage: Pick<Storage, 'withTree'>,
  volume: LoopbackVolume | undefined,
  work: (tree: Tree) => Promise<string>,
): Promise<string> {
  if (volume === undefined) return 'gone with its volume';
  try {
    return await storage.withTree(volume.metadata.uid, work);
  } catch (error) {
    if (goesWithVolume(volume, error)) return 'goes with its volume';
    throw error;
  }
}

/**
 * The volume takes all that is in it along, or keeps it in its image, and can't be looked into any more: whoever is being deleted is
 * not mounted again. Neither waits for the other then.
 */
export function goesWithVolume({ metadata }: LoopbackVolume, error: unknown): boolean {
  if (metadata.deletionTimestamp === undefined || !(error instanceof StorageError)) return false;
  return error.code === 'not-ready' || error.code === 'damaged';
}

/** The volume is being deleted, with all that is in it. */
export function isGoing({ metadata, spec }: LoopbackVolume): boolean {
  return metadata.deletionTimestamp !== undefined && spec.deletionPolicy === 'Delete';
}
