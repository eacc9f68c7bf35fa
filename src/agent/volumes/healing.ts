import { formatTime } from '../../api/conditions.ts';
import type { LoopbackVolumeReason } from '../../api/reasons.ts';
import { kindsAbove } from '../../storage/device-errors.ts';
import type { TreeMount } from '../../storage/volumes/observe.ts';
import type { Refusal as AnyRefusal } from '../refusal.ts';

/** A volume that was mounted anew because btrfs had turned it read-only. */
export interface Healing {
  readonly since: Date;
  readonly tries: number;
  readonly lastAt: Date;
}

const FIRST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 5 * 60_000;
/** btrfs writes at the latest every 30 s: who is writable for longer can write. */
const LASTS_AFTER_MS = 45_000;
const FORGOTTEN_AFTER_MS = 2 * LONGEST_PAUSE_MS;

type Refusal = AnyRefusal<LoopbackVolumeReason>;

export type Heals = Map<string, Healing>;

/** The volume is being unmounted and mounted again now. */
export function noteHealing(heals: Heals, uid: string, now: Date): void {
  const before = heals.get(uid);
  heals.set(uid, { since: before?.since ?? now, tries: (before?.tries ?? 0) + 1, lastAt: now });
}

/**
 * Why a volume that is read-only is not mounted anew at this time, or why one that is writable again is not trusted yet; undefined:
 * it is mounted anew, or well. The pauses double each time that it did not last.
 */
export function healingRefusal(heals: Heals, uid: string, tree: TreeMount | undefined, now: Date): Refusal | undefined {
  const healing = heals.get(uid);
  if (healing === undefined || tree === undefined) return undefined;
  const { tries, lastAt } = healing;
  const passedMs = now.getTime() - lastAt.getTime();
  if (!tree.readOnly) {
    if (passedMs >= FORGOTTEN_AFTER_MS) heals.delete(uid);
    return tries > 1 && passedMs < LASTS_AFTER_MS ? refusalOf(healing, tree) : undefined;
  }
  const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** (tries - 1), LONGEST_PAUSE_MS);
  return passedMs < pauseMs ? refusalOf(healing, tree) : undefined;
}

function refusalOf({ since }: Healing, { deviceErrors }: TreeMount): Refusal {
  const kinds = kindsAbove(deviceErrors, {});
  const what = kinds.length === 0 ? 'btrfs can not write to it' : `its device fails (${kinds.join(', ')} errors)`;
  return {
    reason: 'ReadOnly',
    message: `btrfs turns the volume read-only again and again since ${formatTime(since)}: ${what}; see the kernel log of the node, and mend the disk below the image. It is mounted anew with growing pauses`,
    mendedBy: 'time',
  };
}
