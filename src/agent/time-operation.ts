import type { AgentMetrics } from '../net/agent-metrics.ts';
import type { Clock } from '../runtime/clock.ts';

export interface TimedOperation {
  readonly operation: string;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** What `run` does, with a report of how long it took and how it ended. */
export async function timeOperation<T>(
  { operation, signal, clock }: TimedOperation,
  onEnd: AgentMetrics['operationEnded'],
  run: () => Promise<T>,
): Promise<T> {
  const fromMs = clock.monotonicMs();
  let outcome = 'failed';
  try {
    const result = await run();
    outcome = 'ok';
    return result;
  } finally {
    if (outcome !== 'ok' && signal.aborted) outcome = 'aborted';
    onEnd({ operation, outcome, durationMs: clock.monotonicMs() - fromMs });
  }
}
