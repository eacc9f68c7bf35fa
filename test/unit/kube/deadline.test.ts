import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { settledOrAborted, startDeadline } from '../../../src/kube/deadline.ts';

describe('startDeadline', () => {
  test('aborts when the time is over', async () => {
    using deadline = startDeadline(10);
    await new Promise((resolve) => deadline.signal.addEventListener('abort', resolve));
    expect(deadline.expired).toBe(true);
  });

  test('aborts with the outer signal and its reason, and is then not expired', async () => {
    const outer = new AbortController();
    using deadline = startDeadline(10, outer.signal);
    outer.abort('enough');
    expect(deadline.signal.reason).toBe('enough');
    await sleep(20);
    expect(deadline.expired).toBe(false);
    using late = startDeadline(10, outer.signal);
    expect(late.signal.aborted).toBe(true);
  });

  test('extend starts the time anew', async () => {
    using deadline = startDeadline(200);
    for (let i = 0; i < 6; i++) {
      await sleep(50);
      deadline.extend();
    }
    expect(deadline.signal.aborted).toBe(false);
  });

  test('leaves no listener on the outer signal', () => {
    const outer = new AbortController();
    for (let i = 0; i < 100; i++) {
      using _deadline = startDeadline(10_000, outer.signal);
    }
    expect(getEventListeners(outer.signal, 'abort')).toHaveLength(0);
  });
});

describe('settledOrAborted', () => {
  test('is what the promise is, or the reason of the signal', async () => {
    const { signal } = new AbortController();
    await expect(settledOrAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(settledOrAborted(Promise.reject(new Error('no')), signal)).rejects.toThrow('no');
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    const outer = new AbortController();
    const waiting = settledOrAborted(new Promise(() => {}), outer.signal);
    outer.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
