import { formatTime } from '../../api/conditions.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ResizeProgress } from '../../storage/volumes/resize.ts';
import { createProgressWriter, type ProgressWriter } from '../progress-writer.ts';
import type { Action } from './decide.ts';
import { type Import, type Progress, progressOf } from './report.ts';

/** Writes how far a change of size, or an export, is. */
export function createProgress(
  action: Action,
  clock: Clock,
  write: (progress: Progress) => Promise<void>,
): ProgressWriter<ResizeProgress> {
  const operation = action.kind === 'minimize' ? 'Minimize' : action.kind === 'export' ? 'Export' : 'Shrink';
  const startedAt = clock.now();
  return createProgressWriter(clock, ({ phase, sizeBytes, movedBytes }) =>
    write(progressOf(operation, phase, { sizeBytes, movedBytes }, { startedAt, now: clock.now() })),
  );
}

/** Writes how much of the content of spec.source has come. */
export function createImportProgress(clock: Clock, write: (entry: Import) => Promise<void>): ProgressWriter<number> {
  let before: { readonly bytes: number; readonly atMs: number } | undefined;
  return createProgressWriter(clock, async (bytes) => {
    const atMs = clock.monotonicMs();
    const rate = before === undefined ? undefined : ((bytes - before.bytes) * 1000) / (atMs - before.atMs);
    before = { bytes, atMs };
    await write({
      phase: 'Receiving',
      bytes,
      ...(rate === undefined ? {} : { bytesPerSecond: Math.max(0, Math.round(rate)) }),
      updatedAt: formatTime(clock.now()),
    });
  });
}
