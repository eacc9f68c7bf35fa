import { describe, expect, it } from 'vitest';
import { type FailureKind, type Outcome, recheck, settled, waiting } from '../../../src/runtime/outcome.ts';
import { ManualClock, settle } from '../../fakes/manual-clock.ts';
import { Failure, gate, start } from './recorded-reconciler.ts';

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
