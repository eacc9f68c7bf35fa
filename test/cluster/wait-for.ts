import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, as it reads after "no": used in the error's message. */
  readonly what: string;
  /** On a quiet machine; a busy one gets {@link PATIENCE} times as much. */
  readonly timeoutMs?: number | undefined;
  readonly everyMs?: number;
  /** Resolves when it is time to look again; in the place of `everyMs`. Asked for before each look, so that nothing is missed. */
  readonly untilNext?: () => Promise<unknown>;
  /** Ends the wait early by throwing when the condition can't come any more. */
  readonly giveUp?: () => void;
}

/** Tests run beside each other on small, shared machines, which stall for seconds. */
const PATIENCE = 4;

/**
 * The first value that is neither undefined nor false. A check that throws counts as "not yet", and its last error becomes
 * the cause when the time (default 10 s) is over.
 */
export async function waitFor<T>(
  check: () => Promise<T | undefined | false> | T | undefined | false,
  { what, timeoutMs = 10_000, everyMs = 50, untilNext, giveUp }: WaitOptions,
): Promise<T> {
  const limitMs = timeoutMs * PATIENCE;
  const deadline = performance.now() + limitMs;
  let cause: unknown;
  do {
    giveUp?.();
    const next = untilNext?.();
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await (next ?? sleep(everyMs));
  } while (performance.now() < deadline);
  throw new Error(`no ${what} within ${limitMs / 1000} s`, { cause });
}
