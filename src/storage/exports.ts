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

const UNFINISHED = '.new';

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
 * Of what was exported of the object only files of these names are left, whatever namespace it was exported for; its directory
 * goes with the last one, and that of a namespace with the last object's. Safe to repeat: what is there is read from the disk.
 */
export async function removeExports(storage: Storage, uid: string, keep: readonly string[] = []): Promise<void> {
  const { layout } = storage;
  await attempt('remove what was exported', async () => {
    for (const namespaceUid of await namespacesIn(layout)) {
      const path = layout.exportPath(namespaceUid, uid);
      const names = await namesIn(path);
      const surplus = names?.filter((name) => !keep.includes(name)) ?? [];
      for (const name of surplus) await rm(join(path, name), { recursive: true, force: true });
      if (names !== undefined && surplus.length === names.length) await removeIfEmpty(path);
      else if (surplus.length > 0) await syncDirectory(path);
      await removeIfEmpty(dirname(path));
    }
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
  const whole = entries.filter(
    (entry) => entry.isFile() && !entry.name.endsWith(UNFINISHED) && !entry.name.startsWith('.'),
  );
  const sizes = whole.map(async ({ parentPath, name }) => {
    const found = await stat(join(parentPath, name)).catch(() => undefined);
    return (found?.blocks ?? 0) * 512;
  });
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}
