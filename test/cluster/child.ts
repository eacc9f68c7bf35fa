import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';

export interface ChildOptions {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** The whole environment of the child, not an addition to ours. */
  readonly env: Readonly<Record<string, string>>;
  /** Both outputs are appended here. */
  readonly logPath: string;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that dies with the one that started it. */
export interface Child extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  readonly logPath: string;
  readonly exited: Promise<ChildExit>;
  readonly running: boolean;
  /** Sends the signal; does nothing if the process is gone. */
  kill(signal: NodeJS.Signals): void;
  /** Gone afterwards: SIGTERM, and SIGKILL when `graceMs` (default 10 s) have passed. Safe to repeat. */
  end(graceMs?: number): Promise<ChildExit>;
  /** Everything logged so far. */
  log(): string;
}

/**
 * Starts a process in a session of its own, so that Ctrl-C reaches only us and we can end it in order; the kernel kills
 * it when our thread dies, however that happens (prctl(2) PR_SET_PDEATHSIG).
 *
 * NOTE: the signal is bound to the thread that forks, so call it from a process's main thread (vitest's pool `forks`).
 */
export function startChild(options: ChildOptions): Child {
  const logFd = openSync(options.logPath, 'a');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', options.file, ...options.args], {
    env: { ...options.env },
    stdio: ['ignore', logFd, logFd],
    detached: true,
  });
  closeSync(logFd);
  return wrapChild(child, options);
}

function wrapChild(child: ChildProcess, options: ChildOptions): Child {
  let running = true;
  const exited = new Promise<ChildExit>((resolve, reject) => {
    child.once('error', (cause) => reject(new Error(`${options.name}: can't start ${options.file}`, { cause })));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  }).finally(() => {
    running = false;
  });
  exited.catch(() => undefined); // a failed launch is thrown where somebody waits for the child
  const end = async (graceMs = 10_000): Promise<ChildExit> => {
    if (running) child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    return exited.finally(() => clearTimeout(timer));
  };
  return {
    name: options.name,
    pid: child.pid ?? 0,
    logPath: options.logPath,
    exited,
    get running() {
      return running;
    },
    kill(signal) {
      if (running) child.kill(signal);
    },
    end,
    log: () => readFileSync(options.logPath, 'utf8'),
    async [Symbol.asyncDispose]() {
      await end();
    },
  };
}

/** The last lines of a child's log, for a message about its failure. */
export function logTail(child: Child, lines = 15): string {
  return child.log().trimEnd().split('\n').slice(-lines).join('\n');
}
