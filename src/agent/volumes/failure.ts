import { type LoopbackVolumeReason, loopbackVolumeReasons } from '../../api/reasons.ts';
import { type Outcome, waiting } from '../../runtime/outcome.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Refusal } from './decide.ts';

/** How long until something outside is looked at again, where no watch tells of it. */
const IN_USE_MS = 2_000;
const HOST_MS = 15_000;
const PERSON_MS = 60_000;

/** What a failed verb means for the status. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof StorageError)) {
    return {
      reason: 'InternalError',
      message: 'the operator met a case that it does not know; see the log of the agent',
      mendedBy: 'time',
    };
  }
  const mendedBy = ['foreign', 'damaged', 'conflict', 'unsupported'].includes(error.code) ? 'person' : 'time';
  return { reason: knownReason(error.reason), message: error.message, mendedBy };
}

function knownReason(reason: string | undefined): LoopbackVolumeReason {
  return isReason(reason) ? reason : 'CommandFailed';
}

function isReason(text: string | undefined): text is LoopbackVolumeReason {
  return text !== undefined && Object.hasOwn(loopbackVolumeReasons, text);
}

/** When to look again at what a refusal waits for. */
export function outcomeOf(refusal: Refusal): Outcome {
  const soon = isAboutUsers(refusal) || refusal.reason === 'CommandStuck';
  const afterMs = refusal.mendedBy === 'person' ? PERSON_MS : soon ? IN_USE_MS : HOST_MS;
  return waiting(afterMs, refusal.reason, refusal.message);
}

/** True when somebody outside of the operator uses the volume. */
export function isAboutUsers({ reason }: Refusal): boolean {
  return ['InUse', 'StillInUse', 'ReadOnlyNeedsRestart', 'HasDependents'].includes(reason);
}

/** True for what has no known time to wait for: it is thrown on, to be tried again with growing pauses or shown as a bug. */
export function isRetried(error: unknown): boolean {
  return !(error instanceof StorageError) || error.code === 'failed' || error.code === 'not-found';
}
