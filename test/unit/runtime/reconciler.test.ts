import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createBackoff } from '../../../src/runtime/backoff.ts';
import { type FailureKind, type Outcome, recheck, settled, waiting } from '../../../src/runtime/outcome.ts';
import { type PassReport, type ReconcilerOptions, startReconciler } from '../../../src/runtime/reconciler.ts';
import { ManualClock, settle } from '../../fakes/manual-clock.ts';

class Failure extends Error {
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string = kind) {
    super(message);
    this.kind = kind;
  }
}

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A reconciler on a manual clock whose passes are recorded; `reconcile` defaults to settling at once. */
function start(options: Partial<ReconcilerOptions> = {}) {
  const clock = new ManualClock();
  const runs: { key: string; atMs: number }[] = [];
  const passes: PassReport[] = [];
  const lines: LogLine[] = [];
  const reconcile = options.reconcile ?? (async () => settled);
  const reconciler = startReconciler({
    name: 'thing',
    concurrency: 2,
    judge: (error) => (error instanceof Failure ? error.kind : 'bug'),
    log: pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    clock,
    backoff: createBackoff({ random: () => 0 }),
    onPass: (pass) => passes.push(pass),
    ...options,
    reconcile: async (key, signal) => {
      runs.push({ key, atMs: clock.monotonicMs() });
      return reconcile(key, signal);
    },
  });
  return { clock, reconciler, runs, passes, lines };
}

/** A promise that the test ends by hand. */
function gate<T>() {
  return Promise.withResolvers<T>();
}

describe('startReconciler: passes', () => {
  it('gives a key one pass at a time and exactly one more for all adds meanwhile', async () => {
    const gates = [gate<Outcome>(), gate<Outcome>()];
    let calls = 0;
    const { reconciler, runs } = start({ reconcile: () => gates[calls++]?.promise ?? Promise.resolve(settled) });
    reconciler.enqueue('ns/a');
    await settle();
    for (let i = 0; i < 50; i++) reconciler.enqueue('ns/a');
    await settle();
    expect(runs).toHaveLength(1);
    gates[0]?.resolve(settled);
    await settle();
    expect(runs).toHaveLength(2);
    gates[1]?.resolve(settled);
    await settle();
    expect(runs).toHaveLength(2);
    expect(reconciler.depth).toBe(0);
  });

  it('runs as many keys at a time as its concurrency', async () => {
    const gates = new Map(['a', 'b', 'c'].map((key) => [key, gate<Outcome>()]));
    const { reconciler, runs } = start({ reconcile: (key) => gates.get(key)?.promise ?? Promise.resolve(settled) });
    for (const key of gates.keys()) reconciler.enqueue(key);
    await settle();
    expect(runs.map((run) => run.key)).toEqual(['a', 'b']);
    expect(reconciler.depth).toBe(1);
    gates.get('b')?.resolve(settled);
    await settle();
    expect(runs.map((run) => run.key)).toEqual(['a', 'b', 'c']);
    for (const { resolve } of gates.values()) resolve(settled);
  });

  it('works off 10,000 keys, high priority first, each once', async () => {
    const { reconciler, runs } = start({ concurrency: 1 });
    for (let i = 0; i < 10_000; i++) reconciler.enqueue(`ns/${i}`, { priority: 'low' });
    reconciler.enqueue('ns/urgent');
    for (let i = 0; i < 10_000; i++) reconciler.enqueue(`ns/${i}`, { priority: 'low' });
    while (reconciler.depth > 0) await settle();
    await settle();
    expect(new Set(runs.map((run) => run.key)).size).toBe(10_001);
    // The first low one had started before the urgent one came, so it ran again for the second add.
    expect(runs).toHaveLength(10_002);
    expect(runs.findIndex((run) => run.key === 'ns/urgent')).toBe(1);
  });

  it('reports queue time, duration and outcome of each pass', async () => {
    const clock = new ManualClock();
    const { reconciler, passes } = start({
      clock,
      concurrency: 1,
      reconcile: async () => {
        await clock.sleep(30);
        return settled;
      },
    });
    reconciler.enqueue('a');
    reconciler.enqueue('b');
    await clock.advance(60);
    expect(passes).toEqual([
      { outcome: 'settled', durationMs: 30, queuedMs: 0 },
      { outcome: 'settled', durationMs: 30, queuedMs: 30 },
    ]);
  });
});

describe('startReconciler: when a key is looked at again', () => {
  const outcomes: { title: string; outcome: Outcome; atMs: number[] }[] = [
    { title: 'settled: never', outcome: settled, atMs: [0] },
    { title: 'recheck: after its time', outcome: recheck(4_000), atMs: [0, 4_000, 8_000] },
    { title: 'waiting: after its time', outcome: waiting(3_000, 'InUse', 'pod p'), atMs: [0, 3_000, 6_000, 9_000] },
  ];
  it.each(outcomes)('$title', async ({ outcome, atMs }) => {
    const { clock, reconciler, runs } = start({ reconcile: async () => outcome });
    reconciler.enqueue('a');
    await clock.advance(10_000);
    expect(runs.map((run) => run.atMs)).toEqual(atMs);
  });

  const failures: { kind: FailureKind; atMs: number[] }[] = [
    { kind: 'terminal', atMs: [0] },
    { kind: 'transient', atMs: [0, 200, 600, 1_400, 3_000] },
    { kind: 'waiting', atMs: [0, 200, 600, 1_400, 3_000] },
    { kind: 'bug', atMs: [0, 200, 600, 1_400, 3_000] },
    { kind: 'benign', atMs: [0, 0, 0, 0, 0, 0, 200, 600, 1_400, 3_000] },
  ];
  it.each(failures)('a $kind failure: at $atMs', async ({ kind, atMs }) => {
    const { clock, reconciler, runs } = start({ reconcile: () => Promise.reject(new Failure(kind)) });
    reconciler.enqueue('a');
    await clock.advance(3_000);
    expect(runs.map((run) => run.atMs)).toEqual(atMs);
  });

  it('a terminal failure is tried again when the key is enqueued', async () => {
    const { clock, reconciler, runs } = start({ reconcile: () => Promise.reject(new Failure('terminal')) });
    reconciler.enqueue('a');
    await clock.advance(1_000);
    reconciler.enqueue('a');
    await clock.advance(1_000);
    expect(runs.map((run) => run.atMs)).toEqual([0, 1_000]);
  });

  it('success makes the next failure the first again', async () => {
    let calls = 0;
    const { clock, reconciler, runs } = start({
      reconcile: () => (++calls === 4 ? Promise.resolve(recheck(1_000)) : Promise.reject(new Failure('transient'))),
    });
    reconciler.enqueue('a');
    await clock.advance(3_000);
    expect(runs.map((run) => run.atMs)).toEqual([0, 200, 600, 1_400, 2_400, 2_600, 3_000]);
  });

  it('enqueue with afterMs waits that long, and a pass in between takes its place', async () => {
    const { clock, reconciler, runs } = start();
    reconciler.enqueue('a', { afterMs: 500 });
    reconciler.enqueue('b', { afterMs: 500 });
    await clock.advance(100);
    reconciler.enqueue('b');
    await clock.advance(5_000);
    expect(runs).toEqual([
      { key: 'b', atMs: 100 },
      { key: 'a', atMs: 500 },
    ]);
  });
});

describe('startReconciler: isolation', () => {
  it('a key that always fails, throws at once or hangs stops no other', async () => {
    const { clock, reconciler, runs } = start({
      reconcile: (key) => {
        if (key === 'hangs') return new Promise(() => {});
        if (key === 'throws') throw new TypeError('no such thing');
        if (key === 'rejects') return Promise.reject('not even an error');
        return Promise.resolve(settled);
      },
    });
    for (const key of ['hangs', 'throws', 'rejects', 'ok-1', 'ok-2']) reconciler.enqueue(key);
    await clock.advance(0);
    expect(runs.map((run) => run.key)).toEqual(['hangs', 'throws', 'rejects', 'ok-1', 'ok-2']);
  });

  it('survives a judge and a hook that throw', async () => {
    const { clock, reconciler, runs, lines } = start({
      reconcile: () => Promise.reject(new Error('x')),
      judge: () => {
        throw new Error('no verdict');
      },
      onPass: () => {
        throw new Error('no metrics');
      },
    });
    reconciler.enqueue('a');
    await clock.advance(200);
    expect(runs.map((run) => run.atMs)).toEqual([0, 200]);
    expect(lines.map((line) => line.msg)).toContain('hook of a pass failed');
  });
});

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
});
