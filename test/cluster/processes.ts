import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Child, logTail, startChild } from './child.ts';
import { runDirVariable } from './host-leftovers.ts';
import { waitFor } from './wait-for.ts';

const repositoryPath = path.resolve(import.meta.dirname, '../..');
const bundlePath = path.join(repositoryPath, 'dist/btrfs-operator.js');

/** As the image has them (Dockerfile). */
export const MEMORY_SETTINGS = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' };

export interface OperatorOptions {
  readonly kubeconfigPath: string;
  /** Existing directory for the log. */
  readonly logDir: string;
  /** Namespace of the operator's Leases; has to exist. Default `btrfs-operator`. */
  readonly namespace?: string;
  /** More flags, e.g. `['--usage-interval-seconds', '1']`; a later flag wins over an earlier one. */
  readonly flags?: readonly string[];
  /** Goes before the operator's command line, e.g. `['unshare', '--mount']`. */
  readonly wrapper?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface AgentOptions extends OperatorOptions {
  readonly nodeName: string;
  /** Directory of images, records and mounts. */
  readonly rootPath: string;
  /** PATH of the agent's commands: where a crash test puts its shims first. */
  readonly commandPath?: string;
}

/** A controller or an agent: the bundle, as it runs in production. */
export interface OperatorProcess extends Child {
  /** Where /healthz and /readyz are, e.g. `http://127.0.0.1:41234`; waits until it is logged. */
  healthUrl(): Promise<string>;
  metricsUrl(): Promise<string>;
  /** Resolves when /readyz answers 200 (default: within 20 s); throws with the end of the log if it ends or doesn't. */
  ready(timeoutMs?: number): Promise<void>;
}

export function startAgent(options: AgentOptions): OperatorProcess {
  return startOperator('agent', `agent-${options.nodeName}`, options, [
    `--node-name=${options.nodeName}`,
    `--root=${options.rootPath}`,
    '--transfer-address=127.0.0.1:0',
    ...(options.commandPath === undefined ? [] : [`--command-path=${options.commandPath}`]),
  ]);
}

export function startController(options: OperatorOptions): OperatorProcess {
  return startOperator('controller', 'controller', options, []);
}

function startOperator(
  subcommand: 'agent' | 'controller',
  logName: string,
  options: OperatorOptions,
  flags: readonly string[],
): OperatorProcess {
  const [file = process.execPath, ...words] = [
    ...(options.wrapper ?? []),
    process.execPath,
    bundlePath,
    subcommand,
    `--kubeconfig=${options.kubeconfigPath}`,
    `--namespace=${options.namespace ?? 'btrfs-operator'}`,
    '--health-address=127.0.0.1:0',
    '--metrics-address=127.0.0.1:0',
    ...flags,
    ...(options.flags ?? []),
  ];
  const child = startChild({
    name: subcommand,
    file,
    args: words,
    env: {
      PATH: process.env.PATH ?? '',
      HOME: options.logDir,
      ...MEMORY_SETTINGS,
      // Crash tests start hundreds of agents: they compile the bundle once.
      NODE_COMPILE_CACHE: path.join(options.logDir, 'compile-cache'),
      [runDirVariable]: options.logDir,
      ...options.env,
    },
    logPath: newLogPath(options.logDir, logName),
  });
  return withHealth(child);
}

/** `NAME.log`, or `NAME-2.log` and so on when it was started before. */
function newLogPath(logDir: string, name: string): string {
  for (let turn = 1; ; turn++) {
    const logPath = path.join(logDir, turn === 1 ? `${name}.log` : `${name}-${turn}.log`);
    if (!existsSync(logPath)) return logPath;
  }
}

function withHealth(child: Child): OperatorProcess {
  const giveUp = () => {
    if (!child.running) throw new Error(`${child.name} ended:\n${logTail(child)}`);
  };
  const logged = (field: string) =>
    waitFor(() => new RegExp(`"${field}(?:Url)?":"(http:[^"]+)"`).exec(child.log())?.[1], {
      what: `"${field}" in the log of the ${child.name}`,
      timeoutMs: 20_000,
      giveUp,
    });
  const ready = async (timeoutMs = 20_000) => {
    try {
      const url = new URL('/readyz', await logged('health'));
      await waitFor(async () => (await fetch(url)).ok, { what: `ready ${child.name}`, timeoutMs, giveUp });
    } catch (error) {
      throw new Error(`${child.name} is not ready:\n${logTail(child)}`, { cause: error });
    }
  };
  return Object.defineProperties(child as OperatorProcess, {
    healthUrl: { value: () => logged('health') },
    metricsUrl: { value: () => logged('metrics') },
    ready: { value: ready },
  });
}
