import { pino } from 'pino';
import { createBackoff } from '../../../src/runtime/backoff.ts';
import { type FailureKind, settled } from '../../../src/runtime/outcome.ts';
import { type PassReport, type ReconcilerOptions, startReconciler } from '../../../src/runtime/reconciler.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

/** An error that the judge of these tests knows by its kind. */
export class Failure extends Error {
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string = kind) {
    super(message);
    this.kind = kind;
  }
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A reconciler on a manual clock whose passes are recorded; `reconcile` defaults to settling at once. */
export function start(options: Partial<ReconcilerOptions> = {}) {
  const clock = new ManualClock();
  const runs: { key: string; atMs: number }[] = [];
  const passes: PassReport[] = [];
  const lines: LogLine[] = [];
  const reconcile = options.reconcile ?? (async () => settled);
  const reconciler = startReconciler({
    name: 'thing',
    concurrency: 2,
    judge: (error) => (error instanceof Failure ? error.kind : 'bug'),
    log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    clock,
    backoff: createBackoff({ random: () => 0 }),
    onPass: (pass) => passes.push(pass),
    ...options,
    reconcile: async (key, signal, pass) => {
      runs.push({ key, atMs: clock.monotonicMs() });
      return reconcile(key, signal, pass);
    },
  });
  return { clock, reconciler, runs, passes, lines };
}

/** A promise that the test ends by hand. */
export function gate<T>() {
  return Promise.withResolvers<T>();
}
