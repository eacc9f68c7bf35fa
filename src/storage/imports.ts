import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Content } from './content.ts';
import { StorageError } from './errors.ts';
import type { Layout } from './layout.ts';
import { isErrno } from './records.ts';

const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const READ_BYTES = 1024 * 1024;

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** A file that the administrator of the node put into `imports/<namespace>/`. */
export interface ImportFile {
  readonly file: FileHandle;
  readonly path: string;
  readonly sizeBytes: number;
  /** What it takes on the node, without its holes. */
  readonly allocatedBytes: number;
}

/**
 * Opens the file: a plain one, not what a symlink or a pipe leads to, in a directory that is none either. The caller closes it.
 * Throws `not-ready` (FileNotFound).
 */
export async function openImportFile(
  { importsPath }: Pick<Layout, 'importsPath'>,
  namespace: string,
  name: string,
): Promise<ImportFile> {
  if (!FILE_NAME.test(name) || !NAMESPACE.test(namespace)) {
    throw new TypeError(`not the name of a file to import: ${JSON.stringify(`${namespace}/${name}`)}`);
  }
  const path = join(importsPath, namespace, name);
  const file = await openBelow(join(importsPath, namespace), name).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) throw notThere(`there is no file ${path} on the node; put it there`, error);
    if (isErrno(error, 'ELOOP', 'ENOTDIR')) {
      throw notThere(`${path} is, or lies behind, a symlink or a file; put the file itself there`, error);
    }
    if (isErrno(error, 'ENXIO')) throw notThere(`${path} is no plain file; put one there`, error);
    throw error;
  });
  const stats = await file.stat();
  if (stats.isFile()) return { file, path, sizeBytes: stats.size, allocatedBytes: stats.blocks * 512 };
  await file.close();
  throw notThere(`${path} is no plain file; put one there`);
}

/** Tells one state of such a file from another; undefined while there is none. */
export async function importVersion(...where: Parameters<typeof openImportFile>): Promise<string | undefined> {
  const opened = await openImportFile(...where).catch(() => undefined);
  if (opened === undefined) return undefined;
  try {
    const { ino, size, mtimeMs } = await opened.file.stat();
    return `${ino} ${size} ${mtimeMs}`;
  } finally {
    await opened.file.close();
  }
}

/** The file of {@link openImportFile}, to be read from its beginning to its end. */
export async function openImport(
  layout: Pick<Layout, 'importsPath'>,
  namespace: string,
  name: string,
): Promise<Content> {
  const { file, path, sizeBytes } = await openImportFile(layout, namespace, name);
  return { stream: file.createReadStream({ highWaterMark: READ_BYTES }), totalBytes: sizeBytes, origin: path };
}

/** By the descriptor of the directory: what was checked is what is gone through. O_NONBLOCK: a pipe does not hold up the caller. */
async function openBelow(directoryPath: string, name: string): Promise<FileHandle> {
  const directory = await open(directoryPath, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    return await open(`/proc/self/fd/${directory.fd}/${name}`, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } finally {
    await directory.close();
  }
}

function notThere(message: string, cause?: unknown): StorageError {
  return new StorageError('not-ready', message, { reason: 'FileNotFound', cause });
}
