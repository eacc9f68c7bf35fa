import type { Storage } from '../context.ts';
import { StorageError } from '../errors.ts';
import { loadRecord, saveRecord, type VolumeRecord } from '../records.ts';

/** The data needs more than the size that is asked for. */
export function doesNotFit(neededBytes: number, targetBytes: number): StorageError {
  const needed = toMebibytes(neededBytes);
  return new StorageError(
    'out-of-space',
    `the data needs about ${needed}Mi and does not fit into ${toMebibytes(targetBytes)}Mi; delete data, or ask for more`,
    { reason: 'ShrinkDoesNotFit' },
  );
}

/** The rest of a shrink is not safe beside those who write. */
export function isBusy(): StorageError {
  return new StorageError(
    'in-use',
    'the volume is being written to, and moving metadata has to wait for a quiet moment; it is tried again by itself, pause what writes to have it sooner',
    { reason: 'BusyVolume' },
  );
}

function toMebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2);
}

/** The record says what the data does not fit into, until a change of size succeeds. */
export async function rememberRefusedShrink(
  storage: Storage,
  uid: string,
  refusedShrink: NonNullable<VolumeRecord['refusedShrink']>,
  signal: AbortSignal,
): Promise<void> {
  await storage.withVolume(uid, signal, async () => {
    const record = await loadRecord(storage.layout, uid);
    if (record !== undefined) await saveRecord(storage.layout, { ...record, refusedShrink });
  });
}
