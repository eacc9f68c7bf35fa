import type { Clock } from '../../runtime/clock.ts';
import type { ResizeProgress } from '../../storage/volumes/resize.ts';
import type { Action } from './decide.ts';
import { type Progress, progressOf } from './report.ts';

/** Each write goes to etcd and to every watcher. */
const WRITE_EVERY_MS = 5_000;

export interface ProgressReporter {
  readonly on: (progress: ResizeProgress) => void;
  /** Waits for a write that is under way; none begins after it. */
  readonly end: () => Promise<void>;
}

/** Writes the progress of a long action, every 5 s at most; a write that fails is no reason to stop the work. */
export function createProgress(
  action: Action,
  clock: Clock,
  write: (progress: Progress) => Promise<void>,
): ProgressReporter {
  const operation = action.kind === 'minimize' ? 'Minimize' : 'Shrink';
  const startedAt = clock.now();
  let lastMs = Number.NEGATIVE_INFINITY;
  let writing: Promise<void> | undefined;
  let ended = false;
  return {
    on({ phase, sizeBytes, movedBytes }) {
      if (ended || writing !== undefined || clock.monotonicMs() - lastMs < WRITE_EVERY_MS) return;
      lastMs = clock.monotonicMs();
      const entry = progressOf(operation, phase, { sizeBytes, movedBytes }, { startedAt, now: clock.now() });
      writing = write(entry)
        .catch(() => undefined)
        .finally(() => {
          writing = undefined;
        });
    },
    async end() {
      ended = true;
      await writing;
    },
  };
}
