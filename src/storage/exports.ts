import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { readdir, rename, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { attempt, type Storage } from './context.ts';
import { isUid, type Layout } from './layout.ts';
import { ensurePrivateDirectory, isErrno, syncDirectory } from './records.ts';

/** A file under exports/, whole and on disk. */
export interface ExportedFile {
  readonly path: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Whose exports: one directory for each object, below one for each namespace. */
export interface ExportOwner {
  readonly namespaceUid: string;
  readonly uid: string;
}

/** Of the files of Snapshots. */
export const STREAM_SUFFIX = '.btrfs';

const UNFINISHED = '.new';

/** True for a name that a file gets when it is whole; until then it has another suffix, or begins with a dot. */
export function isWholeExport(name: string): boolean {
  return !name.endsWith(UNFINISHED) && !name.startsWith('.');
}

/**
 * The file holds what was read, whole and on disk, in place of an earlier one of the name. What an interrupted run leaves has another
 * name, and is removed by the next one or with {@link removeExports}. `ended` is awaited before the file gets its name.
 */
export async function writeExport(
  storage: Storage,
  owner: ExportOwner,
  name: string,
  content: { readonly stdout: Readable; readonly ended: Promise<unknown> },
  onBytes: (bytes: number) => void,
): Promise<ExportedFile> {
  return await attempt(`write the export ${name}`, async () => {
    const path = join(storage.layout.exportPath(owner.namespaceUid, owner.uid), name);
    await ensurePrivateDirectory(dirname(path));
    const hash = createHash('sha256');
    let bytes = 0;
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        bytes += chunk.length;
        onBytes(bytes);
        done(null, chunk);
      },
    });
    const unfinished = `${path}${UNFINISHED}`;
    try {
      await pipeline(content.stdout, count, createWriteStream(unfinished, { mode: 0o600, flush: true }));
      await content.ended;
    } catch (error) {
      await content.ended.catch(() => undefined);
      await rm(unfinished, { force: true });
      throw error;
    }
    await rename(unfinished, path);
    await syncDirectory(dirname(path));
    return { path, bytes, sha256: hash.digest('hex') };
  });
}

/** Path and size of an export; undefined if there is none of the name. */
export async function findExport(
  { layout }: Storage,
  { namespaceUid, uid }: ExportOwner,
  name: string,
): Promise<Pick<ExportedFile, 'path' | 'bytes'> | undefined> {
  const path = join(layout.exportPath(namespaceUid, uid), name);
  try {
    return { path, bytes: (await stat(path)).size };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/**
 * Of what was exported of the object only files that are kept are left, whatever namespace it was exported for; its directory
 * goes with the last one, and that of a namespace with the last object's. Safe to repeat: what is there is read from the disk.
 */
export async function removeExports(
  { layout }: Storage,
  uid: string,
  isKept: (name: string) => boolean = () => false,
): Promise<'removed' | 'was gone already'> {
  return await attempt('remove what was exported', async () => {
    let step: 'removed' | 'was gone already' = 'was gone already';
    for (const namespaceUid of await namespacesIn(layout)) {
      const path = layout.exportPath(namespaceUid, uid);
      const names = await namesIn(path);
      const surplus = names?.filter((name) => !isKept(name)) ?? [];
      if (surplus.length > 0) step = 'removed';
      for (const name of surplus) await rm(join(path, name), { recursive: true, force: true });
      if (names !== undefined && surplus.length === names.length) await removeIfEmpty(path);
      else if (surplus.length > 0) await syncDirectory(path);
      await removeIfEmpty(dirname(path));
    }
    return step;
  });
}

/** The files that were exported of one object are another's, below its namespace if one is given. Safe to repeat. */
export async function moveExports(
  { layout }: Storage,
  from: string,
  to: { readonly uid: string; readonly namespaceUid?: string },
): Promise<void> {
  for (const namespaceUid of await namespacesIn(layout)) {
    const fromPath = layout.exportPath(namespaceUid, from);
    const names = await namesIn(fromPath);
    if (names === undefined) continue;
    const toPath = layout.exportPath(to.namespaceUid ?? namespaceUid, to.uid);
    await ensurePrivateDirectory(toPath);
    for (const name of names) await rename(join(fromPath, name), join(toPath, name));
    await syncDirectory(toPath);
    await removeIfEmpty(fromPath);
    await removeIfEmpty(dirname(fromPath));
  }
}

/** Paths of the directories that the object has under exports/. */
export async function exportPathsOf({ layout }: Storage, uid: string): Promise<readonly string[]> {
  return (await namespacesIn(layout)).map((namespaceUid) => layout.exportPath(namespaceUid, uid));
}

/** What lies under exports/ of one object, whether that is there or not. */
export interface FoundExports {
  readonly uid: string;
  /** Names of files that are whole. */
  readonly names: readonly string[];
  /** What these take on the node. */
  readonly bytes: number;
  /** There is something else: a directory without files, or what a broken run left. */
  readonly isUnfinished: boolean;
}

export async function findExports({ layout }: Storage): Promise<readonly FoundExports[]> {
  const found = new Map<string, FoundExports>();
  for (const namespaceUid of await namespacesIn(layout)) {
    const uids = (await namesIn(join(layout.exportsPath, namespaceUid))) ?? [];
    for (const uid of uids.filter(isUid)) {
      const path = layout.exportPath(namespaceUid, uid);
      const all = (await namesIn(path)) ?? [];
      const names = all.filter(isWholeExport);
      const sizes = await Promise.all(names.map((name) => allocatedBytes(join(path, name))));
      const before = found.get(uid);
      found.set(uid, {
        uid,
        names: [...(before?.names ?? []), ...names],
        bytes: sizes.reduce((sum, bytes) => sum + bytes, before?.bytes ?? 0),
        isUnfinished: before?.isUnfinished === true || names.length === 0 || names.length < all.length,
      });
    }
  }
  return [...found.values()];
}

async function allocatedBytes(path: string): Promise<number> {
  return ((await stat(path).catch(() => undefined))?.blocks ?? 0) * 512;
}

async function namespacesIn({ exportsPath }: Layout): Promise<readonly string[]> {
  return ((await namesIn(exportsPath)) ?? []).filter(isUid);
}

/** Undefined if there is no such directory. */
async function namesIn(path: string): Promise<readonly string[] | undefined> {
  return await readdir(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
}

/** Somebody may put something in there meanwhile. */
async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'ENOTEMPTY')) throw error;
  }
}

/** What whole exported files take on the node, of objects that there are or not. */
export async function readExportedBytes({ layout }: Storage): Promise<number> {
  const entries = await readdir(layout.exportsPath, { recursive: true, withFileTypes: true }).catch(
    (error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    },
  );
  const whole = entries.filter((entry) => entry.isFile() && isWholeExport(entry.name));
  const sizes = whole.map(({ parentPath, name }) => allocatedBytes(join(parentPath, name)));
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}
