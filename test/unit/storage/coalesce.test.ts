import { describe, expect, it } from 'vitest';
import { coalesced } from '../../../src/storage/coalesce.ts';

/** Work whose runs are ended by hand. */
function work() {
  const runs: { readonly items: readonly number[]; readonly end: (result: string | Error) => void }[] = [];
  const call = coalesced<number, string>((items) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    runs.push({ items, end: (result) => (result instanceof Error ? reject(result) : resolve(result)) });
    return promise;
  });
  return { call, runs };
}

/** Lets everything happen that can happen by itself. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('coalesced', () => {
  it('coalesced: calls of one moment are one run, and all get its result', async () => {
    const { call, runs } = work();
    const results = [call(1), call(2), call(3)];
    await settle();
    expect(runs.map(({ items }) => items)).toEqual([[1, 2, 3]]);
    runs[0]?.end('done');
    expect(await Promise.all(results)).toEqual(['done', 'done', 'done']);
  });

  it('coalesced: a call that comes during a run gets what was done after it asked, with all that wait like it', async () => {
    const { call, runs } = work();
    const first = call(1);
    await settle();
    const later = [call(2), call(3)];
    await settle();
    expect(runs).toHaveLength(1);
    runs[0]?.end('old');
    expect(await first).toBe('old');
    await settle();
    expect(runs.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    runs[1]?.end('new');
    expect(await Promise.all(later)).toEqual(['new', 'new']);
  });

  it('coalesced: runs never overlap, also when a call comes in the moment in which one ends', async () => {
    const { call, runs } = work();
    const results = [call(1)];
    await settle();
    results.push(call(2));
    runs[0]?.end('a');
    results.push(call(3));
    await settle();
    results.push(call(4));
    await settle();
    expect(runs.map(({ items }) => items)).toEqual([[1], [2, 3]]);
    runs[1]?.end('b');
    await settle();
    runs[2]?.end('c');
    expect(await Promise.all(results)).toEqual(['a', 'b', 'b', 'c']);
  });

  it('coalesced: a run that fails fails the calls that are in it, and no other', async () => {
    const { call, runs } = work();
    const failing = [call(1), call(2)];
    await settle();
    const next = call(3);
    runs[0]?.end(new Error('broken'));
    const ends = await Promise.allSettled(failing);
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await settle();
    runs[1]?.end('fine');
    expect(await next).toBe('fine');
  });

  it('coalesced: work that throws at once fails its calls, and the next call starts a new run', async () => {
    let turn = 0;
    const call = coalesced<number, number>(() => {
      if (turn++ === 0) throw new Error('at once');
      return Promise.resolve(turn);
    });
    await expect(call(1)).rejects.toThrow('at once');
    expect(await call(2)).toBe(2);
  });
});
