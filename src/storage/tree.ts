import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { syncFilesystem } from '../host/btrfs-filesystem.ts';
import type { Run } from '../host/command.ts';
import { copyInto, readText, removePaths, replaceWith, syncFiles } from '../host/files.ts';
import type { Mount } from '../host/mountinfo.ts';
import type { RunOptions } from '../host/run.ts';
import { deleteSubvolumes } from '../host/subvolume.ts';
import { hasSubvolumesIn, type ListedSubvolume, listSubvolumesIn } from '../host/subvolume-list.ts';
import { coalesced } from './coalesce.ts';
import { type Emptying, emptySubvolumes } from './empty-subvolume.ts';
import { StorageError } from './errors.ts';
import { STAGING_NAME, TREE_NAME } from './layout.ts';

export type { ListedSubvolume } from '../host/subvolume-list.ts';

/** Arguments of one command: the kernel's limit is 2 MiB for all of them, and more than that may be asked for at once. */
const MAX_PATHS = 1_000;

/**
 * The operator's mounted tree of one volume. All methods may be called by many at once: what they ask for is put together into
 * few commands. Paths are relative to the tree.
 */
export interface Tree {
  readonly run: Run;
  /** For transfers out of the tree and into it, which are no short commands. */
  readonly transferOptions: () => RunOptions;
  /** Where the tree is mounted. */
  readonly path: string;
  /** Block device and `major:minor` of the mount. */
  readonly device: string;
  readonly deviceNumber: string;
  /** Subvolumes that lie directly in the tree, by path, as the kernel has them after the call. */
  readonly list: () => Promise<ReadonlyMap<string, ListedSubvolume>>;
  /** Those of {@link Tree.list} that are read-only. */
  readonly listReadOnly: () => Promise<ReadonlyMap<string, ListedSubvolume>>;
  /** The directories for records and unfinished work are there. */
  readonly makeAreas: () => Promise<void>;
  /** The file is there with this content, in directories of its own, on disk. */
  readonly writeRecord: (path: string, record: object) => Promise<void>;
  /** The file has this content, on disk, or still the one that it had. */
  readonly replaceRecord: (path: string, record: object) => Promise<void>;
  /** Text of a file; undefined if there is none. */
  readonly readRecord: (path: string) => Promise<string | undefined>;
  /** What {@link Tree.removeSubvolume} does, for some that are known to be there, in this order. */
  readonly removeSubvolumes: (paths: readonly string[]) => Promise<void>;
  /** The subvolume is gone, with those that a tenant made in it, on disk too. Safe to repeat. */
  readonly removeSubvolume: (path: string) => Promise<void>;
  /** The directory is gone with the record in it. Safe to repeat. */
  readonly removeDirectory: (path: string) => Promise<void>;
  /** True if subvolumes lie in this one: a snapshot of it lacks what is in them. */
  readonly hasNested: (path: string) => Promise<boolean>;
  /** Everything written before is on disk. */
  readonly sync: () => Promise<void>;
}

export const RECORD_NAME = 'record.json';

export interface TreePlaces {
  /** A directory on the node's own filesystem that is there only while records are on their way into the tree. */
  readonly outboxPath: string;
  /** Mount point for one subvolume alone, there only while it is needed. */
  readonly sidePath: string;
}

export function createTree(
  { run, transferOptions }: Pick<Tree, 'run' | 'transferOptions'>,
  mount: Mount,
  { outboxPath, sidePath }: TreePlaces,
): Tree {
  const path = mount.mountPoint;
  const list = coalesced<void, ReadonlyMap<string, ListedSubvolume>>(() => listTree(run, path, 'all'));
  const listReadOnly = coalesced<void, ReadonlyMap<string, ListedSubvolume>>(() => listTree(run, path, 'read-only'));
  const remove = coalesced(async (paths: readonly string[]) => {
    const gone = await inParts(paths, (some) => deleteSubvolumes(run, within(path, some)));
    return gone.every((which) => which === 'all') ? 'all' : 'some';
  });
  const write = coalesced((records: readonly (NewRecord | undefined)[]) =>
    writeRecords(
      run,
      { path, outboxPath },
      records.filter((record) => record !== undefined),
    ),
  );
  const removeDirectories = coalesced((paths: readonly string[]) =>
    inParts(paths, (some) =>
      removePaths(run, [
        ...within(path, some, RECORD_NAME),
        ...within(path, some, `${RECORD_NAME}.new`),
        ...within(path, some),
      ]),
    ),
  );
  const findNested = coalesced(async (paths: readonly string[]) => {
    const each = await Promise.all(
      [...new Set(paths)].map(async (one) => ((await hasSubvolumesIn(run, join(path, one))) ? one : undefined)),
    );
    return new Set(each);
  });
  const sync = coalesced<void, void>(() => syncFilesystem(run, path));
  const empty = coalesced((emptyings: readonly Emptying[]) =>
    emptySubvolumes(run, { device: mount.source, mountPath: sidePath }, emptyings),
  );
  const removeWithNested = async (subvolumePath: string) => {
    for (const how of ['as it is', 'unsealed'] as const) {
      const left = (await list()).get(subvolumePath);
      if (left === undefined) return;
      await empty({ id: left.id, how });
      await remove(subvolumePath);
    }
    if (!(await list()).has(subvolumePath)) return;
    const message = `the subvolume ${subvolumePath} could not be deleted; end what holds it (a btrfs send, or a swap file in it)`;
    throw new StorageError('failed', message, { reason: 'CommandFailed' });
  };
  return {
    run,
    transferOptions,
    path,
    device: mount.source,
    deviceNumber: mount.device,
    list: () => list(),
    listReadOnly: () => listReadOnly(),
    makeAreas: () => write(undefined),
    writeRecord: (recordPath, record) => write({ path: recordPath, text: textOf(record) }),
    async replaceRecord(recordPath, record) {
      const newPath = `${recordPath}.new`;
      await write({ path: newPath, text: textOf(record) });
      await replaceWith(run, join(path, newPath), join(path, recordPath));
      await syncFiles(run, [join(path, recordPath)]);
    },
    readRecord: (recordPath) => readText(run, join(path, recordPath)),
    async removeSubvolumes(paths) {
      const gone = await Promise.all(paths.map((each) => remove(each)));
      if (gone.every((which) => which === 'all')) return;
      const left = await list();
      for (const each of paths.filter((path) => left.has(path))) await removeWithNested(each);
    },
    async removeSubvolume(subvolumePath) {
      if ((await list()).has(subvolumePath)) await this.removeSubvolumes([subvolumePath]);
    },
    removeDirectory: async (directoryPath) => void (await removeDirectories(directoryPath)),
    hasNested: async (subvolumePath) => (await findNested(subvolumePath)).has(subvolumePath),
    sync: () => sync(),
  };
}

function textOf(record: object): string {
  return `${JSON.stringify(record, undefined, 2)}\n`;
}

function within(treePath: string, paths: readonly string[], name = ''): string[] {
  return paths.map((path) => join(treePath, path, name));
}

/** One command after the other, each for as many as it takes. */
async function inParts<Result>(
  paths: readonly string[],
  work: (some: readonly string[]) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let at = 0; at < paths.length; at += MAX_PATHS) results.push(await work(paths.slice(at, at + MAX_PATHS)));
  return results;
}

async function listTree(
  run: Run,
  path: string,
  which: 'all' | 'read-only',
): Promise<ReadonlyMap<string, ListedSubvolume>> {
  const prefix = `${TREE_NAME}/`;
  return new Map(
    (await listSubvolumesIn(run, path, which))
      .filter((subvolume) => subvolume.path.startsWith(prefix))
      .map((subvolume) => [subvolume.path.slice(prefix.length), subvolume]),
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
