import type { Readable } from 'node:stream';

/**
 * What a command is, what comes back, and what is thrown: the contract between the typed tools of this room and the
 * one place that starts processes (`run.ts`). Tests put a fault-injecting `Run` in its place.
 */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  /** Deadline of the command in milliseconds; the promise settles by then even if the child can't be killed (D state). */
  readonly timeoutMs: number;
  /** Exit codes that are an answer and not a failure; `[0]` if absent. */
  readonly okExitCodes?: readonly number[];
  /** Goes to stdin; when it fails the child is killed before it could take what it has for all. */
  readonly input?: Readable;
  /** Told the process id when the child runs. */
  readonly onStart?: (pid: number) => void;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

/** A command whose output is read while it runs. */
export interface RunningCommand {
  readonly stdout: Readable;
  /** Throws like {@link Run}. What was read before counts only when this has resolved. */
  readonly ended: Promise<CommandResult>;
}

/** Runs a command to its end. Throws {@link CommandError} on any other exit code, a signal, a timeout or a failed launch. */
export type Run = (command: Command) => Promise<CommandResult>;

export interface CommandFailure {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  /** The end of stderr (of stdout, if stderr is empty), one line, control characters stripped, 256 bytes at most. */
  readonly stderrTail: string;
  readonly timedOut: boolean;
  readonly aborted: boolean;
  /** True while the child may still be alive (it did not die by its deadline): its effect may still come. */
  readonly stillRunning: boolean;
  readonly durationMs: number;
}

/** A command that did not do what it was asked. The message is the same each time the same thing happens. */
export class CommandError extends Error {
  readonly command: Command;
  readonly failure: CommandFailure;

  constructor(command: Command, failure: CommandFailure, options?: ErrorOptions) {
    super(describeFailure(command, failure), options);
    this.name = 'CommandError';
    this.command = command;
    this.failure = failure;
  }
}

function describeFailure(command: Command, failure: CommandFailure): string {
  const what = printable([command.file, ...command.args].join(' '));
  if (failure.timedOut) return `${what}: no end after ${command.timeoutMs / 1000} s`;
  if (failure.aborted) return `${what}: aborted`;
  const how =
    failure.signal === undefined ? `exit code ${failure.exitCode ?? 'unknown'}` : `ended by ${failure.signal}`;
  return failure.stderrTail === '' ? `${what}: ${how}` : `${what}: ${how}: ${failure.stderrTail}`;
}

/** One line that a terminal shows as it is: no control characters, none that turn the direction of writing. */
export function printable(text: string): string {
  return text
    .split('\n')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .join('; ')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
}
