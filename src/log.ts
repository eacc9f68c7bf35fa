import { destination, type Logger, pino, stdTimeFunctions } from 'pino';

/** Keys whose values never reach a log, at the top of a line and one level below. */
const SECRETS = ['token', 'password', 'authorization', 'privateKey', 'secret'];

/** A logger of JSON lines on standard output, written before the call returns so that a crash loses none. */
export function createLogger(options: {
  readonly logLevel: string;
  readonly bindings?: Readonly<Record<string, string>>;
}): Logger {
  return pino(
    {
      level: options.logLevel,
      base: options.bindings ?? null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: SECRETS.flatMap((name) => [name, `*.${name}`]),
    },
    destination({ dest: 1, sync: true }),
  );
}
