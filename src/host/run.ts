import { PassThrough, type Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { execa, type Options } from 'execa';
import {
  type Command,
  CommandError,
  type CommandFailure,
  type CommandResult,
  printable,
  type Run,
  type RunningCommand,
} from './command.ts';

/** How long a child has between SIGTERM and SIGKILL, and how long after SIGKILL it counts as stuck in the kernel. */
const KILL_AFTER_MS = 2_000;
const STUCK_AFTER_MS = KILL_AFTER_MS + 1_000;
/** A chunk tree of a 16 TiB volume prints about 4 MiB; anything above this is not what was asked for. */
const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;
const TOO_MUCH = `more than ${MAX_OUTPUT_BYTES} bytes of output`;
const STDERR_TAIL_BYTES = 256;
const STREAM_BUFFER_BYTES = 1024 * 1024;
/** Enough to have the tail left when everything that can't be shown is gone from it. */
const TAIL_LOOKED_AT = 16 * STDERR_TAIL_BYTES;

export interface RunOptions {
  /** PATH of every command; nothing else is taken from this process's environment. */
  readonly commandPath: string;
  readonly signal?: AbortSignal | undefined;
  /** Open file description that the child inherits as descriptor 3: its flock fences the file until the child is gone. */
  readonly fenceFd?: number | undefined;
  /** When it aborts, nobody waits for the command any more, which is ended if it can be. */
  readonly giveUp?: AbortSignal | undefined;
  /** Told of a command that was given up and still runs; `ended` resolves when it is gone. */
  readonly onLeft?: (ended: Promise<void>) => void;
  /** Called once for each command that ended, for logs and metrics. */
  readonly onCommand?: ((command: Command, outcome: CommandResult | CommandError) => void) | undefined;
}

/**
 * The one place that starts processes: no shell, stdin closed, `LC_ALL=C`, a fixed PATH, bounded output.
 * The promise settles by the command's deadline even if the child is in D state and can't be killed
 * (execa's own promise waits for the pipes to close).
 */
export function createRun(options: RunOptions): Run {
  return (command) => runReporting(command, options);
}

/** Starts a command whose output the caller reads; see {@link createRun} for the rest. */
export function startCommand(command: Command, options: RunOptions): RunningCommand {
  const stdout = new PassThrough({ highWaterMark: STREAM_BUFFER_BYTES });
  const ended = runReporting(command, options, stdout);
  ended.catch((error: Error) => stdout.destroy(error));
  return { stdout, ended };
}

async function runReporting(command: Command, options: RunOptions, output?: Writable): Promise<CommandResult> {
  const outcome = await runOnce(command, options, output);
  options.onCommand?.(command, outcome);
  if (outcome instanceof CommandError) throw outcome;
  return outcome;
}

async function runOnce(
  command: Command,
  options: RunOptions,
  output: Writable | undefined,
): Promise<CommandResult | CommandError> {
  // NOTE: execa would start the child all the same, and a short one ends before the signal reaches it.
  if (options.signal?.aborted || options.giveUp?.aborted) return failureOf(command, { aborted: true, durationMs: 0 });
  const startedAt = performance.now();
  const since = () => Math.round(performance.now() - startedAt);
  const child = execa(command.file, command.args, execaOptions(command, options));
  // NOTE: a child that outlives its deadline rejects long after nobody listens.
  const gone = child.then(
    () => undefined,
    () => undefined,
  );
  const tooMuch = () => void child.kill();
  if (child.pid !== undefined) command.onStart?.(child.pid);
  if (command.input !== undefined && child.stdin !== null) {
    // NOTE: the child may take an end that comes too early for the end of a whole input.
    pipeline(command.input, child.stdin).catch(() => void child.kill('SIGKILL'));
  }
  if (output !== undefined) pipeline(child.stdout, output).catch(() => void child.kill());
  const stdout = output === undefined ? collect(child.stdout, tooMuch) : NO_OUTPUT;
  const stderr = collect(child.stderr, tooMuch);

  using stuck = stuckAfter(command.timeoutMs, options);
  const result = await Promise.race([child, stuck.promise]);
  if (result === 'stuck') {
    if (options.giveUp?.aborted) child.kill();
    options.onLeft?.(gone);
    const aborted = options.signal?.aborted === true || options.giveUp?.aborted === true;
    return failureOf(command, { timedOut: !aborted, aborted, stillRunning: true, durationMs: since() });
  }
  const { exitCode, signal, timedOut, isCanceled: aborted, originalMessage } = result;
  const durationMs = since();
  const isWhole = !stdout.isTooMuch && !stderr.isTooMuch && !timedOut && !aborted;
  if (isWhole && exitCode !== undefined && (command.okExitCodes ?? [0]).includes(exitCode))
    return { exitCode, stdout: stdout.text(), stderr: stderr.text(), durationMs };
  const words =
    stdout.isTooMuch || stderr.isTooMuch ? TOO_MUCH : stderr.text() || stdout.text() || originalMessage || '';
  return failureOf(command, { exitCode, signal, stderrTail: printableTail(words), timedOut, aborted, durationMs });
}

const NO_OUTPUT: Output = { isTooMuch: false, text: () => '' };

interface Output {
  readonly isTooMuch: boolean;
  readonly text: () => string;
}

/** NOTE: execa's own buffers end in messages that it makes of all of them, which takes the event loop seconds for some MiB. */
function collect(stream: Readable, onTooMuch: () => void): Output {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_OUTPUT_BYTES) chunks.push(chunk);
    else {
      onTooMuch();
      // Whatever else the command has started to write into it ends as well.
      stream.destroy();
    }
  });
  return {
    get isTooMuch() {
      return bytes > MAX_OUTPUT_BYTES;
    },
    text: () => Buffer.concat(chunks).toString('utf8'),
  };
}

function execaOptions(command: Command, options: RunOptions) {
  return {
    reject: false,
    // An integer is a descriptor to inherit; execa's types know it for the first three only.
    stdio: [
      command.input === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      ...(options.fenceFd === undefined ? [] : [options.fenceFd as unknown as 'inherit']),
    ],
    env: { LC_ALL: 'C', PATH: options.commandPath },
    extendEnv: false,
    timeout: command.timeoutMs,
    forceKillAfterDelay: KILL_AFTER_MS,
    buffer: false,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  } as const satisfies Options;
}

/** Resolves `'stuck'` when the child should have been dead for a while, after its timeout or the abort, and when it is given up. */
function stuckAfter(
  timeoutMs: number,
  { signal, giveUp }: Pick<RunOptions, 'signal' | 'giveUp'>,
): Disposable & { promise: Promise<'stuck'> } {
  const { promise, resolve } = Promise.withResolvers<'stuck'>();
  const timers = [setTimeout(resolve, timeoutMs + STUCK_AFTER_MS, 'stuck')];
  const onAbort = () => void timers.push(setTimeout(resolve, STUCK_AFTER_MS, 'stuck'));
  const onGiveUp = () => resolve('stuck');
  signal?.addEventListener('abort', onAbort, { once: true });
  giveUp?.addEventListener('abort', onGiveUp, { once: true });
  return {
    promise,
    [Symbol.dispose]() {
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      giveUp?.removeEventListener('abort', onGiveUp);
    },
  };
}

function failureOf(command: Command, failure: Partial<CommandFailure> & { durationMs: number }): CommandError {
  return new CommandError(command, {
    exitCode: undefined,
    signal: undefined,
    stderrTail: '',
    timedOut: false,
    aborted: false,
    stillRunning: false,
    ...failure,
  });
}

/** The end of a tool's output made safe for a condition: one line, no control characters, 256 bytes at most. */
export function printableTail(text: string): string {
  const line = printable(text.slice(-TAIL_LOOKED_AT));
  const bytes = Buffer.from(line, 'utf8');
  if (bytes.length <= STDERR_TAIL_BYTES) return line;
  return bytes
    .subarray(bytes.length - STDERR_TAIL_BYTES)
    .toString('utf8')
    .replace(/^\ufffd+/, '');
}
