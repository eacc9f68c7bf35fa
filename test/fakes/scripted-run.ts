import { type Command, CommandError, type CommandFailure, type Run } from '../../src/host/command.ts';

/** What a command that the script knows answers: its stdout, or how it fails. */
export type Answer = string | Partial<CommandFailure>;

export type Script = readonly (readonly [pattern: RegExp, answer: Answer])[];

export interface ScriptedRun {
  readonly run: Run;
  /** Every command that was run, as one would type it. */
  readonly commands: readonly string[];
}

/** Answers the commands of a script in their order; fails on one that is not the next, so nothing runs that nobody expected. */
export function scriptedRun(script: Script): ScriptedRun {
  const commands: string[] = [];
  const run: Run = async (command) => {
    const typed = typedAs(command);
    const next = script[commands.length];
    commands.push(typed);
    if (next === undefined || !next[0].test(typed)) throw new Error(`nobody scripted: ${typed}`);
    const [, answer] = next;
    if (typeof answer === 'string') return { exitCode: 0, stdout: answer, stderr: '', durationMs: 1 };
    throw failedCommand(command, answer);
  };
  return { run, commands };
}

export function failedCommand(command: Command, failure: Partial<CommandFailure>): CommandError {
  return new CommandError(command, {
    exitCode: 1,
    signal: undefined,
    stderrTail: '',
    timedOut: false,
    aborted: false,
    stillRunning: false,
    durationMs: 1,
    ...failure,
  });
}

function typedAs({ file, args }: Command): string {
  return [file, ...args].join(' ');
}
