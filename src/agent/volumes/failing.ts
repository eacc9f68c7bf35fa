import { kindsAbove } from '../../storage/device-errors.ts';
import type { TreeMount } from '../../storage/volumes/observe.ts';

type DeviceErrors = TreeMount['deviceErrors'];

/** What goes wrong in a volume at present, and since when. */
export interface Failing {
  readonly since: Date;
  /** In btrfs's words: write, read, flush, corruption, generation. */
  readonly kinds: readonly string[];
}

/** What was counted before the present errors came and at the last look; without `since` none came while we looked. */
interface Counted {
  readonly before: DeviceErrors;
  readonly last: DeviceErrors;
  readonly since?: Date;
  readonly moreAt?: Date;
}

export type Failures = Map<string, Counted>;

/** Errors that come after so long a rest are other ones: who writes now and then, or is healed now and then, sees the same ones. */
const OVER_AFTER_MS = 10 * 60_000;

/**
 * Keeps in mind what is counted of a volume now (undefined: it can't be seen). Gives what is counted more since it began to be more;
 * undefined while nothing came, for all that this agent saw.
 */
export function noteErrors(
  failures: Failures,
  uid: string,
  counted: DeviceErrors | undefined,
  now: Date,
): Failing | undefined {
  const known = failures.get(uid);
  const next = counted === undefined ? known : counts(known, counted, now);
  if (next === undefined) return undefined;
  failures.set(uid, next);
  const { since, before, last } = next;
  return since === undefined ? undefined : { since, kinds: kindsAbove(last, before) };
}

function counts(known: Counted | undefined, counted: DeviceErrors, now: Date): Counted {
  if (known === undefined) return { before: counted, last: counted };
  const { before, last, since = now, moreAt } = known;
  const isOver = moreAt === undefined || now.getTime() - moreAt.getTime() >= OVER_AFTER_MS;
  if (kindsAbove(counted, last).length > 0)
    return isOver
      ? { before: last, last: counted, since: now, moreAt: now }
      : { before, last: counted, since, moreAt: now };
  // Counters that were reset begin anew.
  return isOver || kindsAbove(last, counted).length > 0 ? { before: counted, last: counted } : known;
}
