/** How a pass over one key ended: nothing left to do, look again later, or blocked on something outside. Failures are thrown. */
export type Outcome =
  | { readonly kind: 'settled' }
  | { readonly kind: 'recheck'; readonly afterMs: number }
  | { readonly kind: 'waiting'; readonly afterMs: number; readonly reason: string; readonly message: string };

/**
 * What a thrown error means for the next pass: `terminal` none until the key is enqueued, `waiting` and `transient`
 * again with backoff, `benign` (a lost race) at once, `bug` again with backoff and logged as an error.
 */
export type FailureKind = 'terminal' | 'waiting' | 'transient' | 'benign' | 'bug';

/** The world is as the object asks; the key is looked at again when it is enqueued. */
export const settled: Outcome = { kind: 'settled' };

/** All is well and the key is looked at again after `afterMs` milliseconds. */
export function recheck(afterMs: number): Outcome {
  return { kind: 'recheck', afterMs };
}

/** The pass can't go on until something outside changes; looked at again after `afterMs` milliseconds at the latest. */
export function waiting(afterMs: number, reason: string, message: string): Outcome {
  return { kind: 'waiting', afterMs, reason, message };
}
