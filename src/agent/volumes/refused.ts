import type { LoopbackVolume } from '../../api/loopback-volume.ts';
import { type LoopbackVolumeReason, loopbackVolumeReasons } from '../../api/reasons.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import { type Refusal, refusalOf } from '../refusal.ts';
import { createVainTries, type VainTries } from '../vain-tries.ts';
import { circumstancesOf } from './circumstances.ts';
import type { ContentOptions } from './content.ts';
import type { Failures } from './failing.ts';
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
  readonly failures: Failures;
  readonly fills: VainTries;
}

export function createRefused(clock: Clock): Refused {
  return { busy: new Map(), fills: createVainTries(clock), heals: new Map(), failures: new Map() };
}

export function forgetRefused({ busy, fills, heals, failures }: Refused, uid: string): void {
  busy.delete(uid);
  heals.delete(uid);
  failures.delete(uid);
  fills.forget(uid);
}

/** Why the content of spec.source is not asked for again yet. */
export async function refusedFillOf(
  fills: VainTries,
  options: ContentOptions,
  volume: LoopbackVolume,
): Promise<Refusal<LoopbackVolumeReason> | undefined> {
  const error = await fills.refusal(volume.metadata.uid, () => circumstancesOf(options, volume));
  return error === undefined ? undefined : refusalOf(error, loopbackVolumeReasons);
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
