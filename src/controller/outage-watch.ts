import type { Clock } from '../runtime/clock.ts';

// Agents renew more often than that within a Lease's duration; a shorter silence of the server costs them nothing.
const OUTAGE_MS = 5_000;

/** Notices when the API server is back after nobody, agents included, could reach it. */
export interface OutageWatch {
  /** A request ended with this HTTP status, 0 if there was no answer. */
  requestEnded(request: { readonly code: number; readonly durationMs: number }): void;
}

export function createOutageWatch(clock: Clock, onRecovered: () => void): OutageWatch {
  let failingSinceMs: number | undefined;
  return {
    requestEnded({ code, durationMs }) {
      const nowMs = clock.monotonicMs();
      if (code === 0) {
        failingSinceMs ??= nowMs - durationMs;
        return;
      }
      if (failingSinceMs !== undefined && nowMs - failingSinceMs >= OUTAGE_MS) onRecovered();
      failingSinceMs = undefined;
    },
  };
}
