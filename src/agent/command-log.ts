import type { Logger } from 'pino';
import type { AgentMetrics } from '../net/agent-metrics.ts';
import type { StorageOptions } from '../storage/context.ts';

/** Tells log (at debug) and metrics of every command that ended. */
export function commandLog(log: Logger, metrics: AgentMetrics): NonNullable<StorageOptions['onCommand']> {
  return (command, outcome) => {
    const { file, args } = command;
    const failure = outcome instanceof Error ? outcome.failure : undefined;
    const { durationMs, exitCode } = outcome instanceof Error ? outcome.failure : outcome;
    metrics.commandEnded({
      file,
      outcome: failure === undefined ? 'ok' : failure.timedOut ? 'timeout' : 'failed',
      durationMs,
    });
    log.debug({ command: file, args, exitCode, durationMs, stderr: failure?.stderrTail }, 'command ended');
  };
}
