import { rename } from 'node:fs/promises';
import type { Run } from '../../host/command.ts';
import { refuseStranger } from '../adoption.ts';
import { attempt, type Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { moveExports } from '../exports.ts';
import { loadRecord, removeRecord, saveRecord, syncDirectory, tryRecord, type VolumeRecord } from '../records.ts';
import { takeDown } from './bring-down.ts';
import type { VolumeIdentity } from './create.ts';
import { observePlace, observeRemains } from './observe.ts';
import { recordedUids } from './orphans.ts';
import { isNamed, rebuildRecord } from './rebuild-record.ts';

/**
 * Image, exports and record that were made for `orphanUid` are this volume's, with all that is in the image. The record of this
 * volume is written first and says what is going on (`adopting`), the other one goes last: a crash at any step leaves the
 * data under one of the two uids, and a repeated run goes on from there. Throws `refused` (OrphanNotFound, AdoptionRefused,
 * BackingFileMissing), or `in-use` while something has it mounted.
 */
export async function adoptVolume(
  storage: Storage,
  identity: VolumeIdentity,
  orphanUid: string,
  signal?: AbortSignal,
): Promise<void> {
  await withBoth(storage, [identity.uid, orphanUid], signal, async (run) => {
    const own =
      (await loadRecord(storage.layout, identity.uid)) ?? (await begin(storage, run, { identity, orphanUid, signal }));
    await finish(storage, run, own);
  });
}

/** An adoption that was begun is done, if there is one; safe to repeat. */
export async function finishAdoption(storage: Storage, uid: string, signal?: AbortSignal): Promise<void> {
  const { adopting } = (await loadRecord(storage.layout, uid).catch(() => undefined)) ?? {};
  if (adopting === undefined) return;
  await withBoth(storage, [uid, adopting], signal, async (run) => {
    const own = await loadRecord(storage.layout, uid);
    if (own !== undefined) await finish(storage, run, own);
  });
}

/** Wherever the image is at the moment, its lock is held. */
async function withBoth(
  storage: Storage,
  [uid, orphanUid]: readonly [string, string],
  signal: AbortSignal | undefined,
  work: (run: Run) => Promise<void>,
): Promise<void> {
  await storage.withVolume(uid, signal, () =>
    storage.withVolume(orphanUid, signal, (run) => attempt('adopt the volume', () => work(run))),
  );
}

interface Beginning {
  readonly identity: VolumeIdentity;
  readonly orphanUid: string;
  readonly signal: AbortSignal | undefined;
}

async function begin(storage: Storage, run: Run, { identity, orphanUid, signal }: Beginning): Promise<VolumeRecord> {
  const { layout } = storage;
  const { record: half } = await tryRecord(layout, orphanUid);
  if (half?.adopting !== undefined) {
    // Whoever was about to have it is gone himself. A stranger moves nothing, least of all what another object may have again.
    refuseStranger(half, { kind: 'LoopbackVolume', ...identity });
    await storage.withVolume(half.adopting, signal, (fenced) => finish(storage, fenced, half));
  }
  const { record, damage, image } = await observeRemains(storage, orphanUid);
  if (damage !== undefined && !isNamed(damage.fields)) throw damage.error;
  const owner = record ?? (damage && isNamed(damage.fields) ? damage.fields : undefined);
  if (image === undefined) await refuseMoved(storage, identity, orphanUid);
  if (owner === undefined && image === undefined) {
    const message = `there is nothing on this node for ${orphanUid}; see status.orphans of the BtrfsNodes, and make the volume anew with the right uid`;
    throw new StorageError('refused', message, { reason: 'OrphanNotFound' });
  }
  refuseStranger(owner, { kind: 'LoopbackVolume', ...identity });
  if (owner.initialized === false) {
    const message = `${orphanUid} was never finished, so nothing was ever in it; make the volume without source.adopt`;
    throw new StorageError('refused', message, { reason: 'AdoptionRefused' });
  }
  if (image === undefined) {
    const message = `only the record of ${orphanUid} is there; put back its image as ${layout.imagePath(orphanUid)}`;
    throw new StorageError('refused', message, { reason: 'BackingFileMissing' });
  }
  await takeDown(storage, run, orphanUid);
  const whole = record ?? (await rebuildRecord(storage, run, orphanUid, owner));
  const own = { ...whole, uid: identity.uid, adopting: orphanUid };
  await saveRecord(layout, own);
  return own;
}

/** Throws `refused` if the image went to an object of this name that was removed by force before it had all of it. */
async function refuseMoved(storage: Storage, { namespace, name }: VolumeIdentity, orphanUid: string): Promise<void> {
  for (const uid of await recordedUids(storage)) {
    // Records of others that can't be read are no matter of this one.
    const record = await loadRecord(storage.layout, uid).catch(() => undefined);
    if (record?.adopting !== orphanUid || record.namespace !== namespace || record.name !== name) continue;
    const { image } = await observePlace(storage, uid);
    if (image === undefined) continue;
    const message = `the image of ${orphanUid} was moved to ${uid}, whose object is gone; make the volume anew with source.adopt.uid: ${uid}`;
    throw new StorageError('refused', message, { reason: 'AdoptionRefused' });
  }
}

async function finish(storage: Storage, run: Run, { adopting, ...record }: VolumeRecord): Promise<void> {
  if (adopting === undefined) return;
  const { layout } = storage;
  const from = await observeRemains(storage, adopting);
  if (from.image !== undefined) {
    const { image } = await observePlace(storage, record.uid);
    if (image !== undefined) throw conflict(layout.imagePath(record.uid));
    await takeDown(storage, run, adopting);
    await rename(layout.imagePath(adopting), layout.imagePath(record.uid));
    await syncDirectory(layout.imagesPath);
  }
  await moveExports(storage, adopting, { uid: record.uid });
  await removeRecord(layout, adopting);
  await saveRecord(layout, record);
}

function conflict(imagePath: string): StorageError {
  return new StorageError('conflict', `an image is at ${imagePath} already; it is left as it is. Move it away`, {
    reason: 'ForeignFilesystem',
  });
}
