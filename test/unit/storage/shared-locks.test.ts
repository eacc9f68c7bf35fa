import { describe, expect, it } from 'vitest';
import { createSharedLocks } from '../../../src/storage/shared-locks.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Locks, and work that lasts until it is ended by hand, in the order in which it began and ended. */
function bench() {
  const events: string[] = [];
  const waits: number[] = [];
  const locks = createSharedLocks((waitedMs) => waits.push(waitedMs));
  const start = (how: 'shared' | 'alone', name: string, key = 'cache') => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const turn = locks[how](key, async () => {
      events.push(`${name}+`);
      return await promise.finally(() => events.push(`${name}-`));
    });
    turn.catch(() => undefined);
    return {
      turn,
      end: async () => {
        resolve(name);
        await turn;
        await settle();
      },
      fail: async () => {
        reject(new Error(name));
        await settle();
      },
    };
  };
  return { events, waits, locks, start };
}

describe('createSharedLocks', () => {
  it('B15 shared locks: those who share one work at once, and get what their work gives', async () => {
    const { events, start } = bench();
    const [a, b] = [start('shared', 'a'), start('shared', 'b')];
    await settle();
    expect(events).toEqual(['a+', 'b+']);
    await b.end();
    await a.end();
    expect(await Promise.all([a.turn, b.turn])).toEqual(['a', 'b']);
  });

  it('B17 shared locks: two who want it alone work one after the other, in the order in which they came', async () => {
    const { events, start } = bench();
    const [a, b] = [start('alone', 'a'), start('alone', 'b')];
    await settle();
    expect(events).toEqual(['a+']);
    await a.end();
    await b.end();
    expect(events).toEqual(['a+', 'a-', 'b+', 'b-']);
  });

  it('B22 shared locks: who waits to have it alone is not starved by those who come to share it later', async () => {
    const { events, start } = bench();
    const [early, publisher, ...late] = [
      start('shared', 'early'),
      start('alone', 'publisher'),
      start('shared', 'late-1'),
      start('shared', 'late-2'),
      start('alone', 'last'),
    ];
    await settle();
    expect(events).toEqual(['early+']);
    await early?.end();
    expect(events).toEqual(['early+', 'early-', 'publisher+']);
    await publisher?.end();
    expect(events.slice(4)).toEqual(['late-1+', 'late-2+']);
    for (const each of late) await each.end();
    expect(events.slice(-2)).toEqual(['last+', 'last-']);
  });

  it('shared locks: every share is waited for, also those that came while nobody waited', async () => {
    const { events, start } = bench();
    const shares = [start('shared', 'a'), start('shared', 'b')];
    await settle();
    const alone = start('alone', 'alone');
    for (const each of shares) {
      expect(events).not.toContain('alone+');
      await each.end();
    }
    expect(events).toContain('alone+');
    await alone.end();
  });

  it('shared locks: a failure is told to whoever failed, and the turn goes on', async () => {
    const { events, start } = bench();
    const [a, b, c, d] = [start('shared', 'a'), start('alone', 'b'), start('alone', 'c'), start('shared', 'd')];
    await a?.fail();
    await b?.fail();
    await c?.end();
    await d?.end();
    await expect(a?.turn).rejects.toThrow('a');
    await expect(b?.turn).rejects.toThrow('b');
    expect(await Promise.all([c?.turn, d?.turn])).toEqual(['c', 'd']);
    expect(events).toEqual(['a+', 'a-', 'b+', 'b-', 'c+', 'c-', 'd+', 'd-']);
  });

  it('B22 shared locks: one key does not hold up another', async () => {
    const { start } = bench();
    const held = start('alone', 'held');
    const other = start('alone', 'other', 'another cache');
    await other.end();
    await held.end();
    expect(await other.turn).toBe('other');
  });

  it('B22 shared locks: each wait is measured, also that for nothing', async () => {
    const { waits, start } = bench();
    const held = start('alone', 'held');
    const next = start('shared', 'next');
    await settle();
    expect(waits).toHaveLength(1);
    await held.end();
    await next.end();
    expect(waits).toHaveLength(2);
    expect(waits[1]).toBeGreaterThan(waits[0] ?? Number.POSITIVE_INFINITY);
  });

  const orders: readonly (readonly ('shared' | 'alone')[])[] = [
    ['shared'],
    ['alone'],
    ['shared', 'shared'],
    ['shared', 'alone'],
    ['alone', 'shared'],
    ['alone', 'alone', 'shared', 'alone', 'shared'],
  ];
  it.each(orders.map((order) => [order.join(', '), order] as const))(
    'shared locks: nothing is left of %s',
    async (_, order) => {
      const { locks, start } = bench();
      const works = order.map((how, index) => start(how, String(index)));
      expect(locks.size).toBe(1);
      for (const [index, work] of works.entries()) await (index % 2 === 0 ? work.end() : work.fail());
      expect(locks.size).toBe(0);
    },
  );
});
