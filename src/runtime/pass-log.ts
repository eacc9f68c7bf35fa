import type { Logger } from 'pino';
import type { FailureKind, Outcome } from './outcome.ts';

export interface FailedPass {
  readonly kind: FailureKind;
  readonly error: unknown;
  readonly durationMs: number;
  readonly retryAfterMs: number | undefined;
}

/** One line for each pass; what repeats itself for a key drops to debug. */
export interface PassLog {
  ended(key: string, outcome: Outcome, durationMs: number): void;
  failed(key: string, pass: FailedPass): void;
  aborted(key: string, reason: string, durationMs: number): void;
}

// A pass as long as this is worth a line even if nothing came of it.
const SLOW_MS = 5_000;

export function createPassLog(controller: string, log: Logger): PassLog {
  // Only keys that wait or fail have an entry, so that keys of deleted objects do not pile up.
  const lastTrouble = new Map<string, string>();

  const isNews = (key: string, trouble: string | undefined): boolean => {
    const before = lastTrouble.get(key);
    if (trouble === undefined) lastTrouble.delete(key);
    else lastTrouble.set(key, trouble);
    return before !== trouble;
  };

  return {
    ended(key, outcome, durationMs) {
      const trouble = outcome.kind === 'waiting' ? `${outcome.reason}: ${outcome.message}` : undefined;
      const changed = outcome.kind !== 'waiting' && outcome.step !== undefined;
      const news = isNews(key, trouble) || changed || durationMs >= SLOW_MS;
      const { kind, ...details } = outcome;
      const fields = { controller, ...nameFields(key), outcome: kind, ...details, durationMs: Math.round(durationMs) };
      log[news ? 'info' : 'debug'](fields, 'pass ended');
    },
    failed(key, { kind, error, durationMs, retryAfterMs }) {
      const err = error instanceof Error ? error : new Error(String(error));
      const news = kind === 'benign' ? false : isNews(key, `${kind}: ${err.message}`);
      const fields = {
        controller,
        ...nameFields(key),
        outcome: 'failed',
        kind,
        durationMs: Math.round(durationMs),
        retryAfterMs,
        err,
      };
      log[news ? levelOf(kind) : 'debug'](fields, 'pass failed');
    },
    aborted(key, reason, durationMs) {
      log.debug({ controller, ...nameFields(key), reason, durationMs: Math.round(durationMs) }, 'pass aborted');
    },
  };
}

function levelOf(kind: FailureKind): 'info' | 'warn' | 'error' {
  if (kind === 'waiting') return 'info';
  return kind === 'bug' ? 'error' : 'warn';
}

function nameFields(key: string): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
