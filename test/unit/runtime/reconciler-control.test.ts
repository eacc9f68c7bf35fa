import { describe, expect, it } from 'vitest';
import { type Outcome, recheck, settled, settledAfter, waiting } from '../../../src/runtime/outcome.ts';
import { settle } from '../../fakes/manual-clock.ts';
import { Failure, gate, start } from './recorded-reconciler.ts';

describe('Reconciler.interrupt', () => {
  it('aborts the running pass as superseded and starts a new one, without backoff', async () => {
    const reasons: unknown[] = [];
    const { clock, reconciler, runs, passes } = start({
      reconcile: (_key, signal) =>
        runs.length > 1
          ? Promise.resolve(settled)
          : new Promise((_, reject) => {
              signal.addEventListener('abort', () => {
                reasons.push(signal.reason);
                reject(new Failure('transient'));
              });
            }),
    });
    reconciler.enqueue('a');
    await settle();
    reconciler.interrupt('a');
    await clock.advance(0);
    expect(reasons).toEqual(['superseded']);
    expect(runs).toHaveLength(2);
    expect(passes.map((pass) => pass.outcome)).toEqual(['superseded', 'settled']);
  });

  it('of a key that is not running only queues it', async () => {
    const { reconciler, runs } = start();
    reconciler.interrupt('a');
    await settle();
    expect(runs).toHaveLength(1);
  });
});

describe('Reconciler.stop', () => {
  it('starts nothing more and ends at once when nothing runs', async () => {
    const { clock, reconciler, runs } = start();
    reconciler.enqueue('later', { afterMs: 10 });
    await reconciler.stop(60_000);
    reconciler.enqueue('a');
    await clock.advance(1_000);
    expect(runs).toEqual([]);
    expect(clock.sleeping).toBe(0);
  });

  it('waits for the running pass and drops the rest', async () => {
    const running = gate<Outcome>();
    const { clock, reconciler, runs } = start({ concurrency: 1, reconcile: () => running.promise });
    reconciler.enqueue('a');
    reconciler.enqueue('b');
    await settle();
    let stopped = false;
    const stopping = reconciler.stop(5_000).then(() => {
      stopped = true;
    });
    await clock.advance(4_000);
    expect(stopped).toBe(false);
    running.resolve(recheck(1));
    await stopping;
    await clock.advance(1_000);
    expect(runs.map((run) => run.key)).toEqual(['a']);
  });

  it.each([
    { title: 'that listens to its signal', listens: true, endsAtMs: 5_000 },
    { title: 'that does not', listens: false, endsAtMs: 7_000 },
  ])('after the grace period aborts a pass $title', async ({ listens, endsAtMs }) => {
    const { clock, reconciler } = start({
      reconcile: (_key, signal) =>
        new Promise((_, reject) => {
          if (listens) signal.addEventListener('abort', () => reject(signal.reason));
        }),
    });
    reconciler.enqueue('a');
    await settle();
    let endedAtMs: number | undefined;
    void reconciler.stop(5_000).then(() => {
      endedAtMs = clock.monotonicMs();
    });
    await clock.advance(10_000);
    expect(endedAtMs).toBe(endsAtMs);
  });
});

describe('startReconciler: log', () => {
  const info = 30;
  const debug = 20;

  it('says the same failure aloud once, again when it changes, and again after a success', async () => {
    const messages = ['disk gone', 'disk gone', 'disk slow', 'ok', 'disk slow'];
    let calls = 0;
    const { clock, reconciler, lines } = start({
      reconcile: async () => {
        const message = messages[calls++];
        if (message === 'ok') return recheck(100);
        throw new Failure('transient', message);
      },
    });
    reconciler.enqueue('ns/a');
    await clock.advance(2_000);
    expect(lines.slice(0, 5).map((line) => line.level)).toEqual([40, debug, 40, info, 40]);
    expect(lines[0]).toMatchObject({
      controller: 'thing',
      namespace: 'ns',
      name: 'a',
      kind: 'transient',
      msg: 'pass failed',
    });
  });

  it('says a new reason to wait at info, the same one and a settled pass at debug', async () => {
    const outcomes = [
      settled,
      waiting(10, 'InUse', 'p'),
      waiting(10, 'InUse', 'p'),
      waiting(10, 'InUse', 'q'),
      settled,
    ];
    let calls = 0;
    const { clock, reconciler, lines } = start({ reconcile: async () => outcomes[calls++] ?? settled });
    reconciler.enqueue('a');
    await clock.advance(0);
    reconciler.enqueue('a');
    await clock.advance(100);
    expect(lines.map((line) => line.level)).toEqual([debug, info, debug, info, info]);
  });

  it('says at info what a pass changed', async () => {
    const outcomes = [settledAfter('placed'), recheck(10, 'renewed'), recheck(10)];
    let calls = 0;
    const { clock, reconciler, lines } = start({ reconcile: async () => outcomes[calls++] ?? settled });
    reconciler.enqueue('a');
    await clock.advance(0);
    reconciler.enqueue('a');
    await clock.advance(15);
    expect(lines.map(({ level, outcome, step }) => [level, outcome, step])).toEqual([
      [info, 'settled', 'placed'],
      [info, 'recheck', 'renewed'],
      [debug, 'recheck', undefined],
    ]);
  });
});
