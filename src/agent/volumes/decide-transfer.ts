import { formatBytes } from '../../api/quantity.ts';
import type { LoopbackVolumeReason } from '../../api/reasons.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Refusal } from '../refusal.ts';
import type { TriedShrink } from './refused.ts';
import type { Wish } from './wish.ts';

interface Host {
  readonly pressure: string | undefined;
  readonly growthBytes: number;
}

interface Tried {
  readonly refusedFill: Refusal<LoopbackVolumeReason> | undefined;
}

/** Why the content of spec.source does not come into the volume now; undefined if it may. */
export function refuseFill(
  { sizeBytes }: Wish,
  { image }: VolumeObservation,
  host: Host,
  { refusedFill }: Tried,
): Refusal<LoopbackVolumeReason> | undefined {
  if (refusedFill !== undefined) return refusedFill;
  if (host.pressure !== undefined) {
    const message = `the volume is not filled: ${host.pressure}; free space on the node`;
    return { reason: 'HostPressure', message, mendedBy: 'time' };
  }
  if (image === undefined || sizeBytes - image.sizeBytes <= host.growthBytes) return undefined;
  return {
    reason: 'NodeFull',
    message: `the volume is not filled: a size of ${formatBytes(sizeBytes)} needs more room than the node has left (status of its BtrfsNode); set a smaller spec.size, or remove volumes`,
    mendedBy: 'time',
  };
}

/** A volume that was never minimized is, before it is put away: golden images are made in one go. */
export function isMinimizedFirst(
  { minimize, sizeBytes, settings, exportFile }: Wish,
  { record, tree }: VolumeObservation,
  { refusedShrink }: { readonly refusedShrink: TriedShrink | undefined },
): boolean {
  const isRefused = refusedShrink?.reason === 'ShrinkDoesNotFit' && refusedShrink.targetBytes === sizeBytes;
  if (minimize === undefined || record?.minimized !== undefined || isRefused) return false;
  if (tree !== undefined) return !tree.readOnly;
  return settings.content === 'FromSource' || exportFile !== undefined;
}

/** The file is no longer wanted, or the volume is in use again and may differ from it. */
export function isExportOutdated({ exportFile }: Wish, { record, tree }: VolumeObservation): boolean {
  if (record?.export === undefined) return false;
  return record.export.file !== exportFile || (tree !== undefined && record.export.done !== undefined);
}

/** The image of an unmounted volume is to be exported, and was not since it was unmounted. */
export function isExportDue({ exportFile }: Wish, { isExported, record }: VolumeObservation): boolean {
  return exportFile !== undefined && !(isExported && record?.export?.file === exportFile);
}
