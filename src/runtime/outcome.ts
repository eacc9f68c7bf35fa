/**
 * How a pass over one key ended: nothing left to do, look again later, or blocked on something outside. Failures are thrown.
 * A pass that changed something may name it as its `step`.
 */
export type Outcome =
  | { readonly kind: 'settled'; readonly step?: string }
  | { readonly kind: 'recheck'; readonly afterMs: number; readonly step?: string }
  | { readonly kind: 'waiting'; readonly afterMs: number; readonly reason: string; readonly message: string };

/**
 * What a thrown error means for the next pass: `terminal` none until the key is enqueued, `waiting` and `transient`
 * again with backoff, `benign` (a lost race) at once, `bug` again with backoff and logged as an error.
 */
export type FailureKind = 'terminal' | 'waiting' | 'transient' | 'benign' | 'bug';

/** The world is as the object asks; the key is looked at again when it is enqueued. */
export const settled: Outcome = { kind: 'settled' };

/** As {@link settled}, after the pass has changed something: `step` says what in a lower-case word or two, for the log. */
export function settledAfter(step: string): Outcome {
  return { kind: 'settled', step };
}

/** All is well and the key is looked at again after `afterMs` milliseconds. */
export function recheck(afterMs: number, step?: string): Outcome {
  return { kind: 'recheck', afterMs, ...(step === undefined ? {} : { step }) };
}

/** The pass can't go on until something outside changes; looked at again after `afterMs` milliseconds at the latest. */
export function waiting(afterMs: number, reason: string, message: string): Outcome {
  return { kind: 'waiting', afterMs, reason, message };
}
