import { constants, open, readdir, rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { lockFile } from '../host/flock.ts';
import type { Storage } from './context.ts';
import { StorageError } from './errors.ts';
import { OUTBOX_PREFIX, PIPE_PREFIX } from './layout.ts';
import { ensurePrivateDirectory } from './records.ts';

/** Taken for as long as this process lives; the returned handle releases it. */
export interface RootLock {
  readonly release: () => Promise<void>;
}

/**
 * The root directory is there with its areas, all of them 0700, and this process is the only agent on it.
 * Throws `in-use` while another agent has the lock, and `conflict` for a directory that somebody else uses. Removes what an
 * interrupted write or transfer left.
 */
export async function openRoot(storage: Storage): Promise<RootLock> {
  const { layout, options } = storage;
  // Inherited by every command: what they make, on the node and in volumes, is for root alone unless it is given away.
  process.umask(0o077);
  await refuseSharedDirectory(storage);
  const areas = [layout.imagesPath, layout.recordsPath, layout.volumesPath, layout.importsPath, layout.exportsPath];
  for (const path of [layout.rootPath, ...areas]) await ensurePrivateDirectory(path);
  const lock = await lockFile(layout.lockPath, 'a', { commandPath: options.commandPath });
  if (lock === undefined) {
    throw new StorageError(
      'in-use',
      `another agent works on ${layout.rootPath}; stop it, or give this one another root`,
    );
  }
  await removeTemporaryFiles(layout.recordsPath);
  await removePipes(layout.volumesPath);
  await removeOutboxes(layout.volumesPath);
  return { release: () => lock.close() };
}

/** A directory such as /tmp would be closed to everybody else: what is there has to be ours. */
async function refuseSharedDirectory({ layout }: Storage): Promise<void> {
  const { rootPath, lockPath, imagesPath, recordsPath, volumesPath, importsPath, exportsPath } = layout;
  const ours = [lockPath, imagesPath, recordsPath, volumesPath, importsPath, exportsPath].map((path) => basename(path));
  const names = await readdir(rootPath).catch(() => []);
  // ext4 makes lost+found at the top of each filesystem.
  const stranger = names.find((name) => !ours.includes(name) && name !== 'lost+found');
  if (stranger === undefined) return;
  throw new StorageError(
    'conflict',
    `${rootPath} holds ${JSON.stringify(stranger)}, which is not the operator's; give it a directory of its own`,
  );
}

/** A record's temporary file was never renamed: the record before it is the one that counts. */
async function removeTemporaryFiles(recordsPath: string): Promise<void> {
  const names = await readdir(recordsPath);
  await Promise.all(
    names.filter((name) => name.endsWith('.json.tmp')).map((name) => rm(join(recordsPath, name), { force: true })),
  );
}

/** Pipes of an earlier life; a command that waits for the other end, which never comes, is let go, and ends by itself (fifo(7)). */
async function removePipes(volumesPath: string): Promise<void> {
  for (const name of await readdir(volumesPath)) {
    if (!name.startsWith(PIPE_PREFIX)) continue;
    const path = join(volumesPath, name);
    const pipe = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
    await pipe.close();
    await rm(path, { force: true });
  }
}

/** Records that were on their way: who needs one that did not arrive writes it again. */
async function removeOutboxes(volumesPath: string): Promise<void> {
  const names = (await readdir(volumesPath)).filter((name) => name.startsWith(OUTBOX_PREFIX));
  await Promise.all(names.map((name) => rm(join(volumesPath, name), { recursive: true, force: true })));
}

export interface HostSpace {
  readonly totalBytes: number;
  /** Free for processes without privileges, as df(1) shows it. */
  readonly freeBytes: number;
}

/** Size and free space of the node's filesystem that holds the root directory. */
export async function readHostSpace(storage: Storage): Promise<HostSpace> {
  const { bsize, blocks, bavail } = await statfs(storage.layout.rootPath);
  return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
}
