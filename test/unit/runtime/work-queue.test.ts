import { describe, expect, it } from 'vitest';
import { type Priority, WorkQueue } from '../../../src/runtime/work-queue.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

function startQueue() {
  const clock = new ManualClock();
  let readyCalls = 0;
  const queue = new WorkQueue({ clock, onReady: () => readyCalls++ });
  const takeAll = () => {
    const keys: string[] = [];
    for (let item = queue.take(); item !== undefined; item = queue.take()) keys.push(item.key);
    return keys;
  };
  return { clock, queue, takeAll, readyCalls: () => readyCalls };
}

describe('WorkQueue order', () => {
  const cases: { title: string; adds: [string, Priority][]; taken: string[] }[] = [
    {
      title: 'first in, first out',
      adds: [
        ['a', 'high'],
        ['b', 'high'],
      ],
      taken: ['a', 'b'],
    },
    {
      title: 'a key added twice is handed out once',
      adds: [
        ['a', 'high'],
        ['b', 'high'],
        ['a', 'high'],
      ],
      taken: ['a', 'b'],
    },
    {
      title: 'high before low',
      adds: [
        ['a', 'low'],
        ['b', 'low'],
        ['c', 'high'],
      ],
      taken: ['c', 'a', 'b'],
    },
    {
      title: 'low becomes high',
      adds: [
        ['a', 'low'],
        ['b', 'low'],
        ['b', 'high'],
      ],
      taken: ['b', 'a'],
    },
    {
      title: 'high stays high',
      adds: [
        ['a', 'high'],
        ['b', 'high'],
        ['b', 'low'],
      ],
      taken: ['a', 'b'],
    },
  ];
  it.each(cases)('$title', ({ adds, taken }) => {
    const { queue, takeAll } = startQueue();
    for (const [key, priority] of adds) queue.add(key, priority);
    expect(takeAll()).toEqual(taken);
  });

  it('tells how long a key waited', async () => {
    const { clock, queue } = startQueue();
    queue.add('a', 'low');
    await clock.advance(30);
    queue.add('a', 'high');
    await clock.advance(12);
    expect(queue.take()).toEqual({ key: 'a', group: '', queuedMs: 42 });
  });
});

describe('WorkQueue while a key is worked on', () => {
  it('holds back what is added until done, and queues it once', () => {
    const { queue, takeAll } = startQueue();
    queue.add('a');
    expect(takeAll()).toEqual(['a']);
    queue.add('a', 'low');
    queue.add('a');
    queue.add('a', 'low');
    expect(takeAll()).toEqual([]);
    expect(queue.depth).toBe(1);
    queue.done('a');
    expect(takeAll()).toEqual(['a']);
    queue.done('a');
    expect(takeAll()).toEqual([]);
    expect(queue.depth).toBe(0);
  });
});

describe('WorkQueue.addAfter', () => {
  it('hands out in order of time, all on one sleep of the clock', async () => {
    const { clock, queue, takeAll } = startQueue();
    for (const [key, ms] of [
      ['c', 300],
      ['a', 100],
      ['d', 400],
      ['b', 200],
    ] as const)
      queue.addAfter(key, ms);
    expect(clock.sleeping).toBe(1);
    await clock.advance(99);
    expect(takeAll()).toEqual([]);
    await clock.advance(1);
    expect(takeAll()).toEqual(['a']);
    await clock.advance(1_000);
    expect(takeAll()).toEqual(['b', 'c', 'd']);
    expect(clock.sleeping).toBe(0);
  });

  it('keeps the earlier of two times of a key', async () => {
    const { clock, queue, takeAll } = startQueue();
    queue.addAfter('a', 500);
    queue.addAfter('a', 100);
    queue.addAfter('a', 900);
    await clock.advance(100);
    expect(takeAll()).toEqual(['a']);
    queue.done('a');
    await clock.advance(2_000);
    expect(takeAll()).toEqual([]);
  });

  it('is dropped when the key is taken before', async () => {
    const { clock, queue, takeAll } = startQueue();
    queue.addAfter('a', 100);
    queue.add('a');
    expect(takeAll()).toEqual(['a']);
    queue.done('a');
    await clock.advance(1_000);
    expect(takeAll()).toEqual([]);
  });

  it('set while the key is worked on holds', async () => {
    const { clock, queue, takeAll } = startQueue();
    queue.add('a');
    takeAll();
    queue.addAfter('a', 100);
    queue.done('a');
    await clock.advance(100);
    expect(takeAll()).toEqual(['a']);
  });

  it('orders 10,000 random times', async () => {
    const { clock, queue, takeAll } = startQueue();
    let seed = 7;
    const times = new Map<string, number>();
    for (let i = 0; i < 10_000; i++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      times.set(`k${i}`, 1 + (seed % 50_000));
      queue.addAfter(`k${i}`, times.get(`k${i}`) ?? 0);
    }
    await clock.advance(25_000);
    const early = takeAll();
    await clock.advance(25_001);
    const all = [...early, ...takeAll()];
    expect(new Set(all).size).toBe(10_000);
    expect(early.every((key) => (times.get(key) ?? 0) <= 25_000)).toBe(true);
    const due = all.map((key) => times.get(key) ?? 0);
    expect(due).toEqual(due.toSorted((a, b) => a - b));
  });
});

describe('WorkQueue.close', () => {
  it('drops what waits and takes nothing more', async () => {
    const { clock, queue, takeAll, readyCalls } = startQueue();
    queue.add('a');
    queue.addAfter('b', 10);
    queue.close();
    queue.add('c');
    queue.addAfter('d', 10);
    await clock.advance(100);
    expect(takeAll()).toEqual([]);
    expect(readyCalls()).toBe(1);
    expect(clock.sleeping).toBe(0);
  });
});
