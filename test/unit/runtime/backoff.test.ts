import { describe, expect, it } from 'vitest';
import { createBackoff } from '../../../src/runtime/backoff.ts';

describe('createBackoff', () => {
  it('doubles from 200 ms to 5 minutes and stays there', () => {
    const backoff = createBackoff({ random: () => 0 });
    const delays = Array.from({ length: 14 }, () => backoff.next('a'));
    expect(delays.slice(0, 5)).toEqual([200, 400, 800, 1600, 3200]);
    expect(delays.slice(10)).toEqual([204_800, 300_000, 300_000, 300_000]);
  });

  it('still grows with the worst of jitter, and never exceeds the limit', () => {
    let calls = 0;
    const backoff = createBackoff({ random: () => (calls++ % 2 === 0 ? 0 : 0.999) });
    const delays = Array.from({ length: 10 }, () => backoff.next('a'));
    for (const [index, delay] of delays.slice(1).entries()) expect(delay).toBeGreaterThan(delays[index] ?? 0);
    for (let i = 0; i < 2000; i++) expect(backoff.next('a')).toBeLessThanOrEqual(300_000);
  });

  it('counts each key by itself and starts anew after a reset', () => {
    const backoff = createBackoff({ random: () => 0 });
    expect([backoff.next('a'), backoff.next('a'), backoff.next('b')]).toEqual([200, 400, 200]);
    backoff.reset('a');
    expect([backoff.next('a'), backoff.next('b')]).toEqual([200, 400]);
  });
});
