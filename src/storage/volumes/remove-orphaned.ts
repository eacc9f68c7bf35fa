import type { Stats } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { mountAt, readMounts } from '../../host/mountinfo.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { isErrno, removeRecord, syncDirectory, tryRecord } from '../records.ts';
import { removeExported } from './export.ts';
import { isLinked, majorMinor } from './observe.ts';
import { removeVolume } from './remove.ts';

/**
 * Nothing is left on the node of a volume that nobody has, as {@link removeVolume}; also of one without a record,
 * of which nothing is known but that it is not in use, or of which there are exports alone. The caller has proven that nobody wants it. Says whether there was anything.
 */
export async function removeOrphanedVolume(
  storage: Storage,
  uid: string,
  signal?: AbortSignal,
): Promise<'removed' | 'was gone already'> {
  const { layout } = storage;
  const { record, damage } = await attempt('read the record', () => tryRecord(layout, uid));
  if (record !== undefined || damage !== undefined) return await removeVolume(storage, uid, signal);
  return await storage.withVolume(uid, signal, (run) =>
    attempt('remove the image', async () => {
      await refuseAttached(storage, uid);
      const step = await removeExported(storage, run, uid);
      const paths = [layout.stagedImagePath(uid), layout.imagePath(uid), layout.recordPath(uid)];
      const files = (await Promise.all(paths.map(fileAt))).filter((file) => file !== undefined);
      await rm(layout.stagedImagePath(uid), { force: true });
      await rm(layout.imagePath(uid), { force: true });
      await syncDirectory(layout.imagesPath);
      await removeRecord(layout, uid);
      return files.length === 0 ? step : 'removed';
    }),
  );
}

async function refuseAttached({ layout, loopDevices }: Storage, uid: string): Promise<void> {
  const image = await fileAt(layout.imagePath(uid));
  const isIts = (loop: { readonly backingDevice: string; readonly backingInode: number }) =>
    image !== undefined && loop.backingDevice === majorMinor(image.dev) && loop.backingInode === image.ino;
  const loops = (await loopDevices({ name: uid, isLinked: isLinked(image) })).filter(isIts).map(({ path }) => path);
  const mount = mountAt(await readMounts(), layout.volumePath(uid));
  if (loops.length === 0 && mount === undefined) return;
  const where = mount === undefined ? `attached to ${loops.join(', ')}` : `mounted at ${mount.mountPoint}`;
  throw new StorageError(
    'in-use',
    `it is ${where}, and no record tells what it is; unmount and detach it by hand first`,
    {
      reason: 'StillInUse',
    },
  );
}

async function fileAt(path: string): Promise<Stats | undefined> {
  return await stat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
}
