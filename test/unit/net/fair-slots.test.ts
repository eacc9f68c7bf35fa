import { describe, expect, it } from 'vitest';
import { createFairSlots, LineFullError } from '../../../src/net/fair-slots.ts';

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Asks for slots and notes in which order they are given. */
function createLine(limit: number, maxWaiting = 100) {
  const slots = createFairSlots({ limit, maxWaiting });
  const order: string[] = [];
  const held: Disposable[] = [];
  const ask = (group: string, signal = never) =>
    slots.acquire(group, signal).then((slot) => {
      order.push(group);
      held.push(slot);
    });
  const releaseOldest = async () => {
    held.shift()?.[Symbol.dispose]();
    await settled();
  };
  return { slots, order, ask, releaseOldest };
}

describe('createFairSlots', () => {
  it('gives no more slots than the limit at a time', async () => {
    const { slots, order, ask, releaseOldest } = createLine(2);
    for (const group of ['a', 'a', 'a']) void ask(group);
    await settled();
    expect({ order, running: slots.running, waiting: slots.waiting }).toEqual({
      order: ['a', 'a'],
      running: 2,
      waiting: 1,
    });
    await releaseOldest();
    expect({ order, running: slots.running, waiting: slots.waiting }).toEqual({
      order: ['a', 'a', 'a'],
      running: 2,
      waiting: 0,
    });
  });

  it('serves groups in turn, however long the line of one of them is', async () => {
    const { order, ask, releaseOldest } = createLine(1);
    for (const group of ['a', 'a', 'a', 'a', 'b', 'b', 'c']) void ask(group);
    for (let i = 0; i < 7; i++) await releaseOldest();
    expect(order).toEqual(['a', 'a', 'b', 'c', 'a', 'b', 'a']);
  });

  it('gives a free slot to the group that holds the fewest', async () => {
    const { order, ask, releaseOldest } = createLine(3);
    for (const group of ['a', 'a', 'a']) await ask(group);
    for (const group of ['a', 'b', 'b', 'c']) void ask(group);
    for (let i = 0; i < 4; i++) await releaseOldest();
    expect(order.slice(3)).toEqual(['b', 'c', 'a', 'b']);
  });

  it('turns away who finds the line full', async () => {
    const { ask, slots } = createLine(1, 1);
    void ask('a');
    void ask('a');
    await expect(slots.acquire('b', never)).rejects.toThrow(LineFullError);
  });

  it('forgets who gives up', async () => {
    const { slots, order, ask, releaseOldest } = createLine(1);
    const impatient = new AbortController();
    await ask('a');
    const given = ask('b', impatient.signal);
    void ask('c');
    impatient.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    expect(slots.waiting).toBe(1);
    await releaseOldest();
    expect(order).toEqual(['a', 'c']);
    await expect(ask('a', AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  });

  it('frees a slot once, however often it is disposed of', async () => {
    const slots = createFairSlots({ limit: 1, maxWaiting: 9 });
    const slot = await slots.acquire('a', never);
    slot[Symbol.dispose]();
    await slots.acquire('a', never);
    slot[Symbol.dispose]();
    expect(slots.running).toBe(1);
  });
});
