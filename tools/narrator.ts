import { execFile } from 'node:child_process';

export interface Narrator {
  /** Begins a step with a numbered title and what is going to be seen. */
  step(title: string, text?: string): void;
  say(text: string): void;
  /** Shows a shell command and its output, as a user would see them. Throws if its exit code is not the expected one. */
  show(command: string, options?: ShowOptions): Promise<string>;
}

export interface ShowOptions {
  /** The command is to fail: its message is what there is to see. */
  readonly expect?: 'success' | 'failure';
  /** More of what it prints is cut off, and said to be. */
  readonly maxLines?: number;
}

/** Tells a story on stdout; commands run with this environment and in this directory. */
export function createNarrator(cwd: string, env: Readonly<Record<string, string>>, signal: AbortSignal): Narrator {
  const styled = process.stdout.isTTY && process.env.NO_COLOR === undefined;
  const bold = (text: string) => (styled ? `\x1b[1m${text}\x1b[0m` : text);
  let steps = 0;
  return {
    step(title, text) {
      signal.throwIfAborted();
      console.log(`\n${bold(`${++steps}. ${title}`)}`);
      if (text !== undefined) console.log(text);
    },
    say: (text) => console.log(text),
    async show(command, { expect = 'success', maxLines = 40 } = {}) {
      signal.throwIfAborted();
      console.log(`\n  ${bold(`$ ${command}`)}`);
      const { output, ok } = await runShell(command, cwd, env, signal);
      const lines = output.trimEnd().split('\n');
      for (const line of lines.slice(0, maxLines)) console.log(`  ${line}`);
      if (lines.length > maxLines) console.log(`  … ${lines.length - maxLines} more lines`);
      if (ok !== (expect === 'success')) throw new Error(`${command}: expected ${expect}, saw the opposite`);
      return output;
    },
  };
}

function runShell(
  command: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ output: string; ok: boolean }> {
  return new Promise((resolve, reject) => {
    execFile(
      'bash',
      ['-c', `exec 2>&1\nset -o pipefail\n${command}`],
      { cwd, env: { ...env }, signal, timeout: 180_000, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout) => {
        if (error !== null && typeof error.code !== 'number') return reject(error);
        resolve({ output: stdout, ok: error === null });
      },
    );
  });
}
