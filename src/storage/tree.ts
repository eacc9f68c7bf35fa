import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFilesystem } from '../host/btrfs-filesystem.ts';
import type { Run } from '../host/command.ts';
import { copyInto, removeEmptyDirectories, removeFiles, syncFiles } from '../host/files.ts';
import type { Mount } from '../host/mountinfo.ts';
import { deleteSubvolumeById, deleteSubvolumes } from '../host/subvolume.ts';
import {
  type ListedSubvolume,
  listNesting,
  listReadOnlyIn,
  listSubvolumesIn,
  resolveSubvolume,
} from '../host/subvolume-list.ts';
import { coalesced } from './coalesce.ts';
import { StorageError } from './errors.ts';
import { STAGING_NAME, TREE_NAME } from './layout.ts';

/** Arguments of one command; the kernel's limit is 2 MiB for all of them. */
const MAX_PATHS = 1_000;

export interface TreeSubvolume extends ListedSubvolume {
  readonly readOnly: boolean;
}

/**
 * The operator's mounted tree of one volume. All methods may be called by many at once: what they ask for is put together into
 * few commands. Paths are relative to the tree.
 */
export interface Tree {
  readonly run: Run;
  /** Where the tree is mounted. */
  readonly path: string;
  /** Block device and `major:minor` of the mount. */
  readonly device: string;
  readonly deviceNumber: string;
  /** Subvolumes that lie directly in the tree, by path, as the kernel has them after the call. */
  readonly list: () => Promise<ReadonlyMap<string, TreeSubvolume>>;
  /** The directories for records and unfinished work are there. */
  readonly makeAreas: () => Promise<void>;
  /** The file is there with this content, in directories of its own, on disk. */
  readonly writeRecord: (path: string, record: object) => Promise<void>;
  /** The subvolume is gone, with those that a tenant made in it, on disk too. Safe to repeat. */
  readonly removeSubvolume: (path: string) => Promise<void>;
  /** The directory is gone with the record in it. Safe to repeat. */
  readonly removeDirectory: (path: string) => Promise<void>;
  /** Everything written before is on disk. */
  readonly sync: () => Promise<void>;
}

export const RECORD_NAME = 'record.json';

/** `outboxPath` is an empty directory on the node's own filesystem, for records on their way into the tree. */
export function createTree(run: Run, mount: Mount, outboxPath: string): Tree {
  const path = mount.mountPoint;
  const list = coalesced<void, ReadonlyMap<string, TreeSubvolume>>(() => listTree(run, path));
  const remove = coalesced((paths: readonly string[]) => deleteSubvolumes(run, within(path, paths)));
  const write = coalesced((records: readonly (NewRecord | undefined)[]) =>
    writeRecords(
      run,
      { path, outboxPath },
      records.filter((record) => record !== undefined),
    ),
  );
  const removeDirectories = coalesced(async (paths: readonly string[]) => {
    await removeFiles(run, within(path, paths, RECORD_NAME));
    await removeEmptyDirectories(run, within(path, paths));
  });
  const sync = coalesced<void, void>(() => syncFilesystem(run, path));
  return {
    run,
    path,
    device: mount.source,
    deviceNumber: mount.device,
    list: () => list(),
    makeAreas: () => write(undefined),
    writeRecord: (recordPath, record) => write({ path: recordPath, text: `${JSON.stringify(record, undefined, 2)}\n` }),
    async removeSubvolume(subvolumePath) {
      if (!(await list()).has(subvolumePath)) return;
      await remove(subvolumePath);
      const left = (await list()).get(subvolumePath);
      if (left === undefined) return;
      await removeNested(run, path, left);
      await remove(subvolumePath);
      if (!(await list()).has(subvolumePath)) return;
      throw new StorageError('failed', `the subvolume ${subvolumePath} could not be deleted`, {
        reason: 'CommandFailed',
      });
    },
    removeDirectory: removeDirectories,
    sync: () => sync(),
  };
}

function within(treePath: string, paths: readonly string[], name = ''): string[] {
  if (paths.length > MAX_PATHS) throw new RangeError(`${paths.length} paths for one command`);
  return paths.map((path) => join(treePath, path, name));
}

/** What appears between the two lists counts as writable until the next look. */
async function listTree(run: Run, path: string): Promise<ReadonlyMap<string, TreeSubvolume>> {
  const all = await listSubvolumesIn(run, path);
  const readOnly = await listReadOnlyIn(run, path);
  const prefix = `${TREE_NAME}/`;
  return new Map(
    all
      .filter((subvolume) => subvolume.path.startsWith(prefix))
      .map((subvolume) => [
        subvolume.path.slice(prefix.length),
        { ...subvolume, readOnly: readOnly.has(subvolume.id) },
      ]),
  );
}

interface NewRecord {
  readonly path: string;
  readonly text: string;
}

/** One copy of a directory that looks like the new parts of the tree: nothing of Node's touches the mount, which may hang. */
async function writeRecords(
  run: Run,
  { path, outboxPath }: { readonly path: string; readonly outboxPath: string },
  records: readonly NewRecord[],
): Promise<void> {
  await rm(outboxPath, { recursive: true, force: true });
  try {
    await mkdir(join(outboxPath, STAGING_NAME), { recursive: true, mode: 0o700 });
    await Promise.all(
      records.map(async (record) => {
        const file = join(outboxPath, record.path);
        await mkdir(dirname(file), { recursive: true, mode: 0o700 });
        await writeFile(file, record.text, { mode: 0o600 });
      }),
    );
    await copyInto(run, outboxPath, path);
  } finally {
    await rm(outboxPath, { recursive: true, force: true });
  }
  if (records.length === 0) return;
  await syncFiles(
    run,
    records.map((record) => join(path, record.path)),
  );
}

/** Deepest first, by id; each is proven to lie below, because names in a list are a tenant's (rule 8). */
async function removeNested(run: Run, treePath: string, { id, path }: ListedSubvolume): Promise<void> {
  const nesting = await listNesting(run, treePath);
  const below = [id];
  for (const parentId of below) {
    below.push(...nesting.filter((entry) => entry.parentId === parentId && !below.includes(entry.id)).map((n) => n.id));
  }
  for (const nested of below.slice(1).reverse()) {
    const found = await resolveSubvolume(run, nested, treePath);
    if (found?.startsWith(`${path}/`) === true) await deleteSubvolumeById(run, nested, treePath);
  }
}
