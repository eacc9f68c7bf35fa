import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/kube/clock.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { runLeaderElection } from '../../../src/kube/leader-election.ts';
import type { Transport, TransportRequest } from '../../../src/kube/transport.ts';

const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;
/** Longer than the deadline, as when the process or its machine was stopped. */
const STALL_MS = RENEW_DEADLINE_MS + 1;

interface Stalls {
  /** Answered late: the writes of these numbers, from 1. */
  readonly writes?: readonly number[];
  /** Woken late: the sleeps of these numbers. */
  readonly sleeps?: readonly number[];
}

/** A candidate alone with a server that takes what it writes, on a clock that only its own waiting and these stalls move. */
function start(stalls: Stalls) {
  const stop = new AbortController();
  const seen = { writes: 0, sleeps: 0, ledAfterWrites: 0 };
  let nowMs = 0;
  let lease: object | undefined;
  const request = async ({ method, body }: TransportRequest) => {
    if (method === 'GET') {
      if (lease === undefined) throw new ApiError(404, 'NotFound', 'no such Lease');
      return lease;
    }
    const { metadata, ...rest } = body as { metadata: object };
    seen.writes++;
    if (stalls.writes?.includes(seen.writes)) nowMs += STALL_MS;
    lease = { ...rest, metadata: { ...metadata, uid: 'uid', resourceVersion: String(seen.writes) } };
    return lease;
  };
  const clock: Clock = {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    async sleep(ms) {
      seen.sleeps++;
      nowMs += stalls.sleeps?.includes(seen.sleeps) ? STALL_MS : ms;
      // Nothing that is tested takes so long.
      if (seen.sleeps === 10) stop.abort();
    },
  };
  const result = runLeaderElection({
    transport: { request, reconnect: () => {} } as unknown as Transport,
    namespace: 'ns',
    name: 'leader',
    identity: 'me',
    clock,
    log: pino({ level: 'silent' }),
    signal: stop.signal,
    timings: { leaseDurationMs: 15_000, renewDeadlineMs: RENEW_DEADLINE_MS, retryPeriodMs: RETRY_MS },
    onStartedLeading(signal) {
      seen.ledAfterWrites = seen.writes;
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  });
  return { result, seen };
}

describe('runLeaderElection looks at the time again', () => {
  test('after the write that makes it leader: one that was answered too late is followed by another before it leads', async () => {
    const { result, seen } = start({ writes: [1] });
    expect(await result).toBe('stopped');
    expect(seen.ledAfterWrites).toBe(2);
  });

  test('before each renewal: after a stall it writes nothing, as somebody else may lead', async () => {
    const { result, seen } = start({ sleeps: [2] });
    expect(await result).toBe('lost');
    // It became leader, and renewed once.
    expect(seen).toEqual({ writes: 2, sleeps: 2, ledAfterWrites: 1 });
  });

  test('after each renewal: with one that was answered too late it is lost at once, not when it would renew again', async () => {
    const { result, seen } = start({ writes: [2] });
    expect(await result).toBe('lost');
    expect(seen).toEqual({ writes: 2, sleeps: 1, ledAfterWrites: 1 });
  });

  test('and without a stall leads until it is stopped', async () => {
    const { result, seen } = start({});
    expect(await result).toBe('stopped');
    expect(seen.ledAfterWrites).toBe(1);
  });
});
