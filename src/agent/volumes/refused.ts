import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Heals } from './healing.ts';

/** A shrink to a size that is not tried now: it does not fit, or waits until nobody writes. */
export interface TriedShrink {
  readonly targetBytes: number;
  readonly reason: 'ShrinkDoesNotFit' | 'BusyVolume';
  readonly message: string;
}

/** A shrink that waits until nobody writes. */
export interface BusyShrink extends TriedShrink {
  readonly triedAt: Date;
}

/** What was tried in vain, by volume, and costs little to try again after a restart. */
export interface Refused {
  readonly busy: Map<string, BusyShrink>;
  readonly heals: Heals;
  readonly fills: Map<string, { readonly sizeBytes: number; readonly message: string }>;
}

/** Less used than at the refusal by this part of the size makes another try worth its work. */
const FREED_PART = 0.01;
/** Until a volume that was written to is looked at again, to see whether it is quiet. */
const BUSY_MS = 15_000;

/** The shrink of a volume that is not worth another try yet; `usedBytes` is undefined while that can't be seen. */
export function refusedShrinkOf(
  { record, image }: Pick<VolumeObservation, 'record' | 'image'>,
  usedBytes: number | undefined,
  { busy, now }: { readonly busy: BusyShrink | undefined; readonly now: Date },
): TriedShrink | undefined {
  const { targetBytes, message, usedBytes: usedThen } = record?.refusedShrink ?? {};
  const freedBytes = (usedThen ?? 0) - (usedBytes ?? usedThen ?? 0);
  const isFreed = freedBytes > 0 && freedBytes >= FREED_PART * (image?.sizeBytes ?? 0);
  if (targetBytes !== undefined && message !== undefined && !isFreed) {
    return { targetBytes, reason: 'ShrinkDoesNotFit', message };
  }
  return busy !== undefined && now.getTime() - busy.triedAt.getTime() < BUSY_MS ? busy : undefined;
}
