import type { Clock } from '../runtime/clock.ts';

/** Each write goes to etcd and to every watcher. */
const WRITE_EVERY_MS = 5_000;

export interface ProgressWriter<T> {
  readonly on: (progress: T) => void;
  /** Waits for a write that is under way; none begins after it. */
  readonly end: () => Promise<void>;
}

/** Writes the progress of long work, every 5 s at most; a write that fails is no reason to stop the work. */
export function createProgressWriter<T>(clock: Clock, write: (progress: T) => Promise<void>): ProgressWriter<T> {
  let lastMs = Number.NEGATIVE_INFINITY;
  let writing: Promise<void> | undefined;
  let ended = false;
  return {
    on(progress) {
      if (ended || writing !== undefined || clock.monotonicMs() - lastMs < WRITE_EVERY_MS) return;
      lastMs = clock.monotonicMs();
      writing = write(progress)
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
