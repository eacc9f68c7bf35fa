import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/kube/clock.ts';
import { type LeaderElectionOptions, runLeaderElection } from '../../../src/kube/leader-election.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { type Lease, leaseType } from '../../../src/kube/resource-types.ts';
import type { Transport } from '../../../src/kube/transport.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { connect, createNamespace } from './real-server.ts';
import { createRecordedLog } from './recorded-log.ts';

const timings = { leaseDurationMs: 2_000, renewDeadlineMs: 1_400, retryPeriodMs: 150 };

let transport: Transport;
let leases: ResourceClient<Lease>;
let namespace: string;
let key: string;
let candidates: Candidate[];

beforeEach(async () => {
  transport = connect();
  leases = createResourceClient(transport, leaseType);
  namespace = await createNamespace();
  key = `${namespace}/leader`;
  candidates = [];
});

afterEach(async () => {
  for (const candidate of candidates) candidate.stop();
  await Promise.allSettled(candidates.map(({ result }) => result));
  await transport.close();
});

interface Candidate {
  readonly identity: string;
  readonly result: Promise<'stopped' | 'lost'>;
  /** When the work began and when its signal aborted, by `performance.now()`. */
  startedAtMs?: number;
  abortedAtMs?: number;
  stop(): void;
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

function run(options: Partial<LeaderElectionOptions> = {}, work = untilAborted): Candidate {
  const stop = new AbortController();
  const identity = randomBytes(4).toString('hex');
  const { log } = createRecordedLog();
  const onStartedLeading = async (signal: AbortSignal) => {
    candidate.startedAtMs = performance.now();
    signal.addEventListener('abort', () => {
      candidate.abortedAtMs = performance.now();
    });
    await work(signal);
  };
  const common = { transport, namespace, name: 'leader', identity, log, timings, signal: stop.signal };
  const result = runLeaderElection({ ...common, onStartedLeading, ...options });
  result.catch(() => {});
  const candidate: Candidate = { identity, result, stop: () => stop.abort() };
  candidates.push(candidate);
  return candidate;
}

const leading = (candidate: Candidate) => waitFor(() => candidate.startedAtMs, { what: 'leader', everyMs: 10 });
const holder = async () => (await leases.get(key))?.spec?.holderIdentity;

describe('runLeaderElection', () => {
  test('one of two leads; when it stops it releases the lease and the other takes over at once', async () => {
    const first = run();
    await leading(first);
    const second = run();
    await sleep(timings.leaseDurationMs + 500);
    expect(second.startedAtMs).toBeUndefined();
    expect(await holder()).toBe(first.identity);
    const stoppedAtMs = performance.now();
    first.stop();
    await expect(first.result).resolves.toBe('stopped');
    expect((await leading(second)) - stoppedAtMs).toBeLessThan(timings.leaseDurationMs / 2);
    expect(await leases.get(key)).toMatchObject({ spec: { holderIdentity: second.identity, leaseTransitions: 1 } });
  });

  test('releases a lease that somebody else has written to meanwhile', async () => {
    const slow = { leaseDurationMs: 60_000, renewDeadlineMs: 40_000, retryPeriodMs: 20_000 };
    const first = run({ timings: slow });
    await leading(first);
    await leases.patch(key, { metadata: { labels: { seen: 'yes' } } }, { type: 'merge' });
    first.stop();
    await expect(first.result).resolves.toBe('stopped');
    expect(await holder()).toBe('');
  });

  test('a leader cut off from the server gives up before another leads', async () => {
    const cutOff = connect();
    const first = run({ transport: cutOff });
    await leading(first);
    const second = run();
    await cutOff.close();
    await expect(first.result).resolves.toBe('lost');
    const startedAtMs = await leading(second);
    expect(first.abortedAtMs).toBeLessThan(startedAtMs);
    expect(await holder()).toBe(second.identity);
  });

  test('a leader whose lease was taken is lost', async () => {
    const first = run();
    await leading(first);
    await leases.patch(key, { spec: { holderIdentity: 'another' } }, { type: 'merge' });
    await expect(first.result).resolves.toBe('lost');
    expect(first.abortedAtMs).toBeDefined();
    expect(await holder()).toBe('another');
  });

  test('a stall above the renew deadline is a loss, found before the next write', async () => {
    let stalledMs = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + stalledMs };
    const first = run({ clock });
    await leading(first);
    stalledMs = timings.renewDeadlineMs + 1;
    const before = await leases.get(key);
    await expect(first.result).resolves.toBe('lost');
    const after = await leases.get(key);
    expect(after?.spec?.holderIdentity).toBe(first.identity);
    expect(Number(after?.spec?.leaseTransitions)).toBe(Number(before?.spec?.leaseTransitions));
  });

  test('a lease that is old by its own time is taken only after it was seen unchanged for its duration', async () => {
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 2, renewTime: '2001-01-01T00:00:00.000000Z' };
    await leases.create({ metadata: { namespace, name: 'leader' }, spec });
    const beganAtMs = performance.now();
    const first = run();
    expect((await leading(first)) - beganAtMs).toBeGreaterThanOrEqual(2_000);
    expect(await leases.get(key)).toMatchObject({ spec: { holderIdentity: first.identity, leaseTransitions: 1 } });
  });

  test('a stopped leader keeps its lease until its work has ended', async () => {
    const first = run({}, async (signal) => {
      await untilAborted(signal);
      await sleep(timings.leaseDurationMs * 1.5);
    });
    await leading(first);
    const second = run();
    first.stop();
    await expect(first.result).resolves.toBe('stopped');
    const endedAtMs = performance.now();
    expect(await leading(second)).toBeGreaterThanOrEqual(endedAtMs - 50);
  });

  test('work that ends releases the lease, and what it throws is thrown on', async () => {
    const first = run({}, async () => {});
    await expect(first.result).resolves.toBe('stopped');
    expect(await holder()).toBe('');
    const second = run({}, async () => {
      throw new Error('work failed');
    });
    await expect(second.result).rejects.toThrow('work failed');
    expect(await holder()).toBe('');
  });

  test('a lease that was deleted is made anew by its leader', async () => {
    const first = run();
    await leading(first);
    const uid = (await leases.get(key))?.metadata.uid;
    await leases.delete(key);
    const made = await waitFor(() => leases.get(key), { what: 'new lease' });
    expect(made.metadata.uid).not.toBe(uid);
    expect(made.spec?.holderIdentity).toBe(first.identity);
    expect(first.abortedAtMs).toBeUndefined();
  });

  test('a candidate that is stopped never leads', async () => {
    const first = run();
    await leading(first);
    const second = run();
    second.stop();
    await expect(second.result).resolves.toBe('stopped');
    expect(second.startedAtMs).toBeUndefined();
    expect(await holder()).toBe(first.identity);
  });
});
