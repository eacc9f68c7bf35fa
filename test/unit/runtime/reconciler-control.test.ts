import { describe, expect, it } from 'vitest';
import { type Outcome, recheck, settled, settledAfter, waiting } from '../../../src/runtime/outcome.ts';
import { createPlaces } from '../../../src/runtime/places.ts';
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

describe('Reconciler places', () => {
  const volumeOf = (key: string) => key.split('/')[0] ?? key;
  const hangIn = (volume: string) => (key: string) =>
    volumeOf(key) === volume ? new Promise<Outcome>(() => undefined) : Promise.resolve(settled);

  it('F40 hundreds of passes that hang in one volume hold up no pass in another', async () => {
    const { reconciler, runs } = start({
      concurrency: 8,
      concurrencyWithin: 4,
      withinOf: volumeOf,
      reconcile: hangIn('frozen'),
    });
    for (let i = 0; i < 270; i++) reconciler.enqueue(`frozen/${i}`);
    for (let i = 0; i < 20; i++) reconciler.enqueue(`well/${i}`);
    await settle();
    expect(runs.filter(({ key }) => volumeOf(key) === 'frozen')).toHaveLength(4);
    expect(runs.filter(({ key }) => volumeOf(key) === 'well')).toHaveLength(20);
  });

  it('F40 however many volumes hang, others are served, after a while and then at once', async () => {
    const { clock, reconciler, runs } = start({
      concurrency: 4,
      concurrencyWithin: 2,
      quietMs: 5_000,
      withinOf: volumeOf,
      reconcile: (key) => (key.startsWith('frozen') ? new Promise(() => undefined) : Promise.resolve(settled)),
    });
    for (let volume = 0; volume < 8; volume++) {
      for (let i = 0; i < 50; i++) reconciler.enqueue(`frozen-${volume}/${i}`);
    }
    reconciler.enqueue('well/1');
    await clock.advance(20_000);
    expect(runs.filter(({ key }) => key.startsWith('well'))).toHaveLength(1);
    const hanging = runs.length - 1;
    expect(hanging).toBe(16);
    reconciler.enqueue('well/2');
    await settle();
    expect(runs.at(-1)?.key).toBe('well/2');
  });

  it('F40 volumes take turns, however many keys wait in one of them', async () => {
    const { clock, reconciler, runs } = start({ concurrency: 1, withinOf: volumeOf });
    for (const key of ['a/1', 'a/2', 'a/3', 'b/1', 'c/1', 'b/2']) reconciler.enqueue(key);
    await clock.advance(0);
    expect(runs.map(({ key }) => key)).toEqual(['a/1', 'a/2', 'b/1', 'c/1', 'a/3', 'b/2']);
  });
});

describe('Reconciler.interrupt of a key that waits', () => {
  it('F40 a change of what is asked for ends the pause after failures, and they are forgotten', async () => {
    const { clock, reconciler, runs } = start({ reconcile: () => Promise.reject(new Failure('transient')) });
    reconciler.enqueue('a');
    await clock.advance(100_000);
    const before = runs.length;
    reconciler.interrupt('a');
    await clock.advance(200);
    expect(runs.length - before).toBe(2);
  });
});

describe('RunningPass.moveTo', () => {
  it('F12 long work leaves the place of its pass, and waits for its turn without one', async () => {
    const long = createPlaces({ limit: 1 });
    const { reconciler, runs } = start({
      concurrency: 1,
      reconcile: async (key, _signal, pass) => {
        if (!key.startsWith('long')) return settled;
        await pass.moveTo(long, { namespace: 'ns', within: key }, () => true);
        return await new Promise<Outcome>(() => undefined);
      },
    });
    for (const key of ['long-1', 'long-2', 'long-3', 'short-1', 'short-2']) reconciler.enqueue(key);
    await settle();
    expect(runs.map(({ key }) => key)).toEqual(['long-1', 'long-2', 'long-3', 'short-1', 'short-2']);
    expect({ running: long.running, waiting: long.waiting }).toEqual({ running: 1, waiting: 2 });
  });

  it('F12 its place is given back when the pass ends, however it ends', async () => {
    const long = createPlaces({ limit: 1 });
    const { reconciler } = start({
      reconcile: async (key, _signal, pass) => {
        await pass.moveTo(long, { namespace: 'ns', within: key }, () => true);
        if (key === 'failing') throw new Failure('terminal');
        return settled;
      },
    });
    for (const key of ['failing', 'ending']) reconciler.enqueue(key);
    await settle();
    expect({ running: long.running, waiting: long.waiting }).toEqual({ running: 0, waiting: 0 });
  });

  it('F23 an interruption leaves running work that is still wanted, and queues the key for after it', async () => {
    const long = createPlaces({ limit: 1 });
    const work = gate<Outcome>();
    let isWanted = true;
    const { clock, reconciler, runs, passes } = start({
      reconcile: async (_key, signal, pass) => {
        if (runs.length > 1) return settled;
        await pass.moveTo(long, { namespace: 'ns', within: 'vol' }, () => isWanted);
        signal.addEventListener('abort', () => work.reject(signal.reason));
        return await work.promise;
      },
    });
    reconciler.enqueue('a');
    await settle();
    reconciler.interrupt('a');
    await settle();
    expect(passes).toEqual([]);
    isWanted = false;
    reconciler.interrupt('a');
    await clock.advance(0);
    expect(passes.map(({ outcome }) => outcome)).toEqual(['superseded', 'settled']);
  });
});
