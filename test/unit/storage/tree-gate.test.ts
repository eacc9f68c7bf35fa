import { describe, expect, it } from 'vitest';
import { createTreeGate } from '../../../src/storage/tree-gate.ts';

const PATIENCE_MS = 40;
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Work that lasts until it is ended by hand, and notes when it began. */
function lasting(events: string[], name: string) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  return {
    run: () => {
      events.push(`${name} begins`);
      return promise.finally(() => events.push(`${name} ends`));
    },
    end: () => resolve(name),
    fail: () => reject(new Error(name)),
  };
}

describe('createTreeGate', () => {
  it('tree gate: many are in one tree at once, and get what their work gives', async () => {
    const gate = createTreeGate(PATIENCE_MS);
    const events: string[] = [];
    const works = [lasting(events, 'a'), lasting(events, 'b')];
    const results = works.map((work) => gate.enter('vol', work.run));
    expect(events).toEqual(['a begins', 'b begins']);
    for (const work of works) work.end();
    expect(await Promise.all(results)).toEqual(['a', 'b']);
  });

  it('tree gate: closing waits for those inside, and lets in those that came meanwhile afterwards', async () => {
    const gate = createTreeGate(60_000);
    const events: string[] = [];
    const [inside, closing, later] = [lasting(events, 'inside'), lasting(events, 'closing'), lasting(events, 'later')];
    const results = [gate.enter('vol', inside.run), gate.close('vol', closing.run)];
    results.push(gate.enter('vol', later.run));
    await settle();
    expect(events).toEqual(['inside begins']);
    inside.end();
    await results[0];
    await settle();
    closing.end();
    await results[1];
    later.end();
    expect(await Promise.all(results)).toEqual(['inside', 'closing', 'later']);
    const order = ['inside begins', 'inside ends', 'closing begins', 'closing ends', 'later begins', 'later ends'];
    expect(events).toEqual(order);
  });

  it('tree gate: closing one tree does not hold up another', async () => {
    const gate = createTreeGate(60_000);
    const events: string[] = [];
    const closing = lasting(events, 'closing');
    const closed = gate.close('vol', closing.run);
    expect(await gate.enter('other', async () => 'entered')).toBe('entered');
    closing.end();
    await closed;
  });

  it('tree gate: whoever stays too long is not disturbed: closing gives up with in-use, and the tree is open again', async () => {
    const gate = createTreeGate(PATIENCE_MS);
    const events: string[] = [];
    const staying = lasting(events, 'staying');
    const stayed = gate.enter('vol', staying.run);
    let closed = false;
    const closing = gate.close('vol', async () => {
      closed = true;
    });
    await expect(closing).rejects.toMatchObject({ code: 'in-use', reason: 'InUse' });
    expect(closed).toBe(false);
    expect(await gate.enter('vol', async () => 'entered')).toBe('entered');
    staying.end();
    expect(await stayed).toBe('staying');
  });

  it('tree gate: work that fails, inside or while closed, leaves the tree open', async () => {
    const gate = createTreeGate(PATIENCE_MS);
    const fail = () => Promise.reject(new Error('broken'));
    await expect(gate.enter('vol', fail)).rejects.toThrow('broken');
    await expect(gate.close('vol', fail)).rejects.toThrow('broken');
    expect(await gate.close('vol', async () => 'closed')).toBe('closed');
    expect(await gate.enter('vol', async () => 'entered')).toBe('entered');
  });

  it('tree gate: one that fails inside does not end the waiting for the others', async () => {
    const gate = createTreeGate(60_000);
    const events: string[] = [];
    const [failing, staying] = [lasting(events, 'failing'), lasting(events, 'staying')];
    const results = Promise.allSettled([gate.enter('vol', failing.run), gate.enter('vol', staying.run)]);
    const closing = gate.close('vol', async () => events.push('closed'));
    failing.fail();
    await settle();
    expect(events).not.toContain('closed');
    staying.end();
    await closing;
    await results;
    expect(events.at(-1)).toBe('closed');
  });
});
