import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** What is waited for, as it reads after "no": used in the error's message. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  /** Ends the wait early by throwing when the condition can't come any more. */
  readonly giveUp?: () => void;
}

/**
 * The first value that is neither undefined nor false. A check that throws counts as "not yet", and its last error becomes
 * the cause when the time (default 10 s) is over.
 */
export async function waitFor<T>(
  check: () => Promise<T | undefined | false> | T | undefined | false,
  { what, timeoutMs = 10_000, everyMs = 50, giveUp }: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let cause: unknown;
  do {
    giveUp?.();
    try {
      const value = await check();
      if (value !== undefined && value !== false) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await sleep(everyMs);
  } while (performance.now() < deadline);
  throw new Error(`no ${what} within ${timeoutMs / 1000} s`, { cause });
}
