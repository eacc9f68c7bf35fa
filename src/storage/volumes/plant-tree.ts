import { mkdir } from 'node:fs/promises';
import { CommandError, type Run } from '../../host/command.ts';
import { ensureDirectory, type Owner } from '../../host/coreutils.ts';
import { emptyDirectory, renameTo } from '../../host/files.ts';
import { setDefaultSubvolume } from '../../host/image.ts';
import { mountBtrfs } from '../../host/mount.ts';
import {
  createSubvolume,
  deleteSubvolumeById,
  type Subvolume,
  showSubvolume,
  snapshotSubvolume,
} from '../../host/subvolume.ts';
import { listNesting } from '../../host/subvolume-list.ts';
import type { Storage } from '../context.ts';
import { FOREIGN_OPTIONS } from '../foreign-mount.ts';
import { DATA_NAME, TREE_NAME } from '../layout.ts';
import { removeReceiving } from '../snapshots/receiving-mount.ts';
import { removeTop } from './top-mount.ts';

/** The id of the top of every btrfs. */
const TOP_ID = 5;

/** Runs `work` while the top of a foreign filesystem is mounted, and its default subvolume beside it; afterwards neither is. */
export async function withTopMounted<T>(
  storage: Storage,
  run: Run,
  { uid, loopPath }: { readonly uid: string; readonly loopPath: string },
  work: (topPath: string, defaultPath: string) => Promise<T>,
): Promise<T> {
  const topPath = storage.layout.topPath(uid);
  const defaultPath = storage.layout.receivingPath(uid);
  try {
    for (const path of [topPath, defaultPath]) await mkdir(path, { mode: 0o700 });
    await mountBtrfs(run, loopPath, topPath, [...FOREIGN_OPTIONS, `subvolid=${TOP_ID}`]);
    await mountBtrfs(run, loopPath, defaultPath, FOREIGN_OPTIONS);
    return await work(topPath, defaultPath);
  } finally {
    await removeReceiving(storage, defaultPath);
    await removeTop(storage, storage.run, uid);
  }
}

export interface ForeignFilesystem {
  readonly uid: string;
  /** Where its top is mounted, by us alone. */
  readonly topPath: string;
  readonly defaultPath: string;
  readonly owner: Owner;
}

/**
 * The operator's tree is in the filesystem, with a writable snapshot of the default subvolume as `data/`; all else is gone, as nobody
 * could see it, and it would take space for ever. Not durable before a sync.
 */
export async function plantTree(run: Run, { uid, topPath, defaultPath, owner }: ForeignFilesystem): Promise<Subvolume> {
  const treePath = `${topPath}/${TREE_NAME}`;
  const dataPath = `${topPath}/.data-${uid}`;
  await snapshotSubvolume(run, defaultPath, dataPath, 'ReadWrite');
  // The image of another volume has a tree of its own; if there is none, this changes nothing.
  await renameTo(run, treePath, `${topPath}/.before-${uid}`).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.failure.exitCode !== 1) throw error;
  });
  await createSubvolume(run, treePath);
  await renameTo(run, dataPath, `${treePath}/${DATA_NAME}`);
  await ensureDirectory(run, `${treePath}/${DATA_NAME}`, owner);
  const tree = await showSubvolume(run, treePath);
  const data = await showSubvolume(run, `${treePath}/${DATA_NAME}`);
  await setDefaultSubvolume(run, TOP_ID, topPath);
  await removeOthers(run, topPath, new Set([TOP_ID, tree.id, data.id]));
  await emptyDirectory(run, topPath, TREE_NAME);
  return tree;
}

/** By id, those first that nothing lies in. Names in the list may forge lines: what that keeps from being deleted takes space only. */
async function removeOthers(run: Run, topPath: string, kept: ReadonlySet<number>): Promise<void> {
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    const others = (await listNesting(run, topPath)).filter(({ id }) => !kept.has(id));
    if (others.length === 0 || others.length >= before) return;
    before = others.length;
    for (const { id } of others.toReversed()) {
      await deleteSubvolumeById(run, id, topPath).catch((error: unknown) => {
        if (!(error instanceof CommandError) || error.failure.exitCode !== 1) throw error;
      });
    }
  }
}
