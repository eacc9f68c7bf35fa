import { type Logger, pino } from 'pino';

export interface RecordedLog {
  readonly log: Logger;
  /** Parsed lines of all levels. */
  readonly lines: ReadonlyArray<{ readonly level: number; readonly msg: string; readonly [field: string]: unknown }>;
}

export function createRecordedLog(): RecordedLog {
  const lines: Array<{ level: number; msg: string }> = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}
