import { setFilesystemLabel } from '../../host/btrfs-filesystem.ts';
import type { Run } from '../../host/command.ts';
import { ensureDirectory, type Owner } from '../../host/coreutils.ts';
import { isInvalidMount, remount } from '../../host/mount.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import type { VolumeSettings } from './format.ts';
import { isBestEffort, missingOptions, mountOptions } from './mount-options.ts';
import { observeVolume, type TreeMount } from './observe.ts';

/** What of a mounted volume is not as it is wanted and can be changed online; empty when there is nothing to do. */
export function differences(
  tree: TreeMount,
  settings: VolumeSettings,
  refused: readonly string[],
): readonly ('label' | 'owner' | 'options')[] {
  const options = missingOptions(settings, tree.options).filter((option) => !refused.includes(option));
  return [
    ...(tree.label === settings.label ? [] : (['label'] as const)),
    ...(sameOwner(tree.owner, settings.owner) ? [] : (['owner'] as const)),
    ...(options.length === 0 ? [] : (['options'] as const)),
  ];
}

function sameOwner(left: Owner, right: Owner): boolean {
  return left.uid === right.uid && left.gid === right.gid && left.mode === right.mode;
}

/**
 * Label, owner of `data/` and mount options are as wanted, changed in place; options that the kernel refuses are left out. One that
 * fails does not hold up the others; the error names all that failed.
 */
export async function tune(
  storage: Storage,
  uid: string,
  settings: VolumeSettings,
  signal?: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, async (run) => {
    const { tree } = await attempt('look at the volume', () => observeVolume(storage, uid));
    if (tree === undefined || tree.readOnly) return;
    const changes = {
      label: ['set spec.label', () => setFilesystemLabel(run, tree.path, settings.label)],
      owner: [
        'set spec.owner (where data/ is immutable, chattr -i it)',
        () => ensureDirectory(run, storage.layout.dataPath(uid), settings.owner),
      ],
      options: ['change the mount options', () => changeOptions(storage, run, uid, tree, settings)],
    } as const;
    const failures: StorageError[] = [];
    for (const difference of differences(tree, settings, storage.refusedOptions.get(uid) ?? [])) {
      const [what, change] = changes[difference];
      try {
        await attempt(what, change);
      } catch (error) {
        if (!(error instanceof StorageError) || error.code === 'timeout' || error.code === 'aborted') throw error;
        failures.push(error);
      }
    }
    const [first] = failures;
    if (first === undefined) return;
    const message = failures.map((failure) => failure.message).join('; ');
    throw new StorageError(first.code, message, {
      cause: first,
      ...(first.reason === undefined ? {} : { reason: first.reason }),
    });
  });
}

async function changeOptions(
  storage: Storage,
  run: Run,
  uid: string,
  tree: TreeMount,
  settings: VolumeSettings,
): Promise<void> {
  const refused = storage.refusedOptions.get(uid) ?? [];
  const wanted = mountOptions(settings).filter((option) => !refused.includes(option));
  try {
    await remount(run, tree.path, wanted);
  } catch (error) {
    const droppable = missingOptions(settings, tree.options).filter(isBestEffort);
    if (!isInvalidMount(error) || droppable.length === 0) throw error;
    const needed = wanted.filter((option) => !droppable.includes(option));
    await remount(run, tree.path, needed);
    storage.refusedOptions.set(uid, [...new Set([...refused, ...droppable])]);
  }
}
