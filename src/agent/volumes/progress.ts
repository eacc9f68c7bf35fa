import { formatTime } from '../../api/conditions.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ResizeProgress } from '../../storage/volumes/resize.ts';
import { createProgressWriter, type ProgressWriter } from '../progress-writer.ts';
import type { Action } from './decide.ts';
import { type Import, type Progress, progressOf, type Report } from './report.ts';

/** Writes how far a change of size, or an export, is. */
export function createProgress(
  action: Action,
  clock: Clock,
  write: (progress: Progress) => Promise<void>,
): ProgressWriter<ResizeProgress> {
  const startedAt = clock.now();
  return createProgressWriter(clock, ({ phase, sizeBytes, movedBytes }) =>
    write(progressOf(operationOf(action), phase, { sizeBytes, movedBytes }, { startedAt, now: clock.now() })),
  );
}

function operationOf({ kind }: Action): Progress['operation'] {
  return kind === 'minimize' ? 'Minimize' : kind === 'export' ? 'Export' : 'Shrink';
}

/** Says that a long step waits for its turn. */
export function waitingFor(action: Action, clock: Clock): Pick<Report, 'progress' | 'import'> {
  const now = clock.now();
  if (action.kind === 'fill') return { import: { phase: 'Waiting', bytes: 0, updatedAt: formatTime(now) } };
  const bytes = { sizeBytes: 0, movedBytes: 0 };
  return { progress: progressOf(operationOf(action), 'waiting', bytes, { startedAt: now, now }) };
}

/** Writes how much of the content of spec.source has come. */
function createImportProgress(clock: Clock, write: (entry: Import) => Promise<void>): ProgressWriter<number> {
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

export interface StepProgress {
  readonly onProgress: (progress: ResizeProgress) => void;
  readonly onBytes: (bytes: number) => void;
  /** How much of the content of spec.source has come. */
  readonly bytes: () => number;
  readonly end: () => Promise<void>;
}

interface StepListener {
  readonly write: (entry: Pick<Report, 'progress' | 'import'>) => Promise<void>;
  /** The step has got on. */
  readonly onMoved: () => void;
}

/** Writes how far any step is. */
export function createStepProgress(action: Action, clock: Clock, { write, onMoved }: StepListener): StepProgress {
  const progress = createProgress(action, clock, (entry) => write({ progress: entry }));
  const filling = createImportProgress(clock, (entry) => write({ import: entry }));
  let bytes = 0;
  return {
    onProgress(now) {
      onMoved();
      progress.on(now);
    },
    onBytes(now) {
      if (now > bytes) onMoved();
      bytes = now;
      filling.on(now);
    },
    bytes: () => bytes,
    end: async () => void (await Promise.all([progress.end(), filling.end()])),
  };
}
