import type { TermTable } from '../api/reasons.ts';
import { type Outcome, waiting } from '../runtime/outcome.ts';
import { StorageError } from '../storage/errors.ts';

/** Why something can't be as the spec wants it. */
export interface Refusal<Reason extends string = string> {
  readonly reason: Reason;
  readonly message: string;
  /** Who can mend it: a person, or time (then it is tried again by itself). */
  readonly mendedBy: 'person' | 'time';
}

/** How long until something outside is looked at again, where no watch tells of it. */
const IN_USE_MS = 2_000;
const HOST_MS = 15_000;
const PERSON_MS = 60_000;
/** What a change of another object of this node ends, and wakes: this is for one that was missed. */
const SAFETY_NET_MS = 10 * 60_000;

/** What a failed verb means for the status of a kind that knows these reasons. */
export function refusalOf<Reason extends string>(
  error: unknown,
  reasons: Readonly<Record<Reason | CommonReason, unknown>> & TermTable,
): Refusal<Reason | CommonReason> {
  if (!(error instanceof StorageError)) {
    return {
      reason: 'InternalError',
      message: 'the operator met a case that it does not know; see the log of the agent',
      mendedBy: 'time',
    };
  }
  const isForPerson = ['foreign', 'damaged', 'conflict', 'unsupported', 'refused'].includes(error.code);
  // Of a volume that is made there is no data that could be deleted.
  const mendedBy = isForPerson || error.reason === 'SourceDoesNotFit' ? 'person' : 'time';
  const isKnown = (reason: string | undefined): reason is Reason =>
    reason !== undefined && Object.hasOwn(reasons, reason);
  return { reason: isKnown(error.reason) ? error.reason : 'CommandFailed', message: error.message, mendedBy };
}

type CommonReason = 'CommandFailed' | 'InternalError';

/** When to look again at what a refusal waits for: after `atMostMs` milliseconds at the latest. */
export function outcomeOf(refusal: Refusal, atMostMs = Number.POSITIVE_INFINITY): Outcome {
  const soon = isAboutUsers(refusal) || refusal.reason === 'CommandStuck';
  const isWoken = refusal.reason === 'VolumeNotReady';
  const afterMs = isWoken ? SAFETY_NET_MS : refusal.mendedBy === 'person' ? PERSON_MS : soon ? IN_USE_MS : HOST_MS;
  return waiting(Math.min(afterMs, atMostMs), refusal.reason, refusal.message);
}

/** Why an object can't go yet, in words: others have to go before, which somebody deletes already or has to delete. */
export function waitsFor(what: string, names: string, areGoing: boolean): string {
  return `deletion waits for ${what}; ${areGoing ? 'all of it is being deleted' : 'delete first'}: ${names}`;
}

/** True when somebody outside of the operator uses the thing. */
export function isAboutUsers({ reason }: Refusal): boolean {
  return ['InUse', 'StillInUse', 'ReadOnlyNeedsRestart', 'HasDependents', 'HasChildren'].includes(reason);
}

/** True for what has no known time to wait for: it is thrown on, to be tried again with growing pauses or shown as a bug. */
export function isRetried(error: unknown): boolean {
  return !(error instanceof StorageError) || error.code === 'failed' || error.code === 'not-found';
}
