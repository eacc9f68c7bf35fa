import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/runtime/clock.ts';

describe('systemClock.sleep', () => {
  it('resolves after the time', async () => {
    const startedMs = systemClock.monotonicMs();
    await systemClock.sleep(20);
    expect(systemClock.monotonicMs() - startedMs).toBeGreaterThanOrEqual(19);
  });

  it.each([
    ['aborted before', true],
    ['aborted while sleeping', false],
  ])('resolves at once when %s', async (_, before) => {
    const controller = new AbortController();
    if (before) controller.abort();
    const slept = systemClock.sleep(60_000, controller.signal);
    controller.abort();
    await slept;
  });

  it('does not end early with a delay longer than a timer can take', async () => {
    const controller = new AbortController();
    let ended = false;
    const slept = systemClock.sleep(2 ** 40, controller.signal).then(() => {
      ended = true;
    });
    await systemClock.sleep(20);
    expect(ended).toBe(false);
    controller.abort();
    await slept;
  });
});
