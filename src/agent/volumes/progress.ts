import type { Clock } from '../../runtime/clock.ts';
import type { ResizeProgress } from '../../storage/volumes/resize.ts';
import { createProgressWriter, type ProgressWriter } from '../progress-writer.ts';
import type { Action } from './decide.ts';
import { type Progress, progressOf } from './report.ts';

/** Writes how far a change of size is. */
export function createProgress(
  action: Action,
  clock: Clock,
  write: (progress: Progress) => Promise<void>,
): ProgressWriter<ResizeProgress> {
  const operation = action.kind === 'minimize' ? 'Minimize' : 'Shrink';
  const startedAt = clock.now();
  return createProgressWriter(clock, ({ phase, sizeBytes, movedBytes }) =>
    write(progressOf(operation, phase, { sizeBytes, movedBytes }, { startedAt, now: clock.now() })),
  );
}
