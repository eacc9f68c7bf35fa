import { describe, expect, test } from 'vitest';
import { ApiError } from '../../../src/kube/errors.ts';
import { decideReconnect, pauseAfterClose, Reconnecting, refusesStreamingList } from '../../../src/kube/reconnect.ts';

const timings = { minBackoffMs: 500, maxBackoffMs: 30_000, maxEarlyCloseMs: 5_000 };
const error = (code: number, reason = '', retryAfterMs?: number) =>
  new ApiError(code, reason, 'message', { retryAfterMs });
const many = <T>(make: () => T) => Array.from({ length: 200 }, make);

describe('decideReconnect', () => {
  test.each([
    [1, 500, 1_000],
    [2, 1_000, 2_000],
    [4, 4_000, 8_000],
    [6, 15_000, 30_000],
    [1_000, 15_000, 30_000],
  ])('failure %i in a row pauses %i to %i ms', (failures, min, max) => {
    const delays = many(() => decideReconnect(error(500), failures, timings).delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(min);
    expect(Math.max(...delays)).toBeLessThanOrEqual(max);
    expect(new Set(delays).size).toBeGreaterThan(100);
  });

  test('the first 410 lists at once, the next ones pause', () => {
    expect(decideReconnect(error(410), 1, timings)).toEqual({ delayMs: 0, relist: true });
    expect(decideReconnect(error(410), 2, timings).delayMs).toBeGreaterThanOrEqual(500);
  });

  test('Retry-After is a lower bound, with up to a tenth more', () => {
    const delays = many(() => decideReconnect(error(429, '', 20_000), 1, timings).delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(20_000);
    expect(Math.max(...delays)).toBeLessThanOrEqual(22_000);
    expect(decideReconnect(error(429, '', 10), 3, timings).delayMs).toBeGreaterThanOrEqual(2_000);
  });

  test.each([
    [error(410), true],
    [error(200, 'Expired'), true],
    [error(504, 'Timeout'), true],
    [error(400), true],
    [error(404), true],
    [error(422), true],
    [error(0, 'InvalidResponse'), true],
    [error(0, 'Unreachable'), false],
    [error(0, 'Timeout'), false],
    [error(401), false],
    [error(403), false],
    [error(429), false],
    [error(500), false],
    [error(503), false],
    [new TypeError('a bug'), false],
  ])('%j: a new list: %j', (failure, relist) => {
    expect(decideReconnect(failure, 2, timings).relist).toBe(relist);
  });
});

test('F51 a 410 after other failures lists at once, and only once until the watch works', () => {
  const reconnecting = new Reconnecting(timings);
  for (let i = 0; i < 6; i++) reconnecting.failed(error(0, 'Unreachable'));
  expect(reconnecting.failed(error(410))).toEqual({ delayMs: 0, relist: true });
  expect(reconnecting.failed(error(410)).delayMs).toBeGreaterThanOrEqual(15_000);
  reconnecting.startAnew();
  expect(reconnecting.failed(error(410))).toEqual({ delayMs: 0, relist: true });
});

test('pauseAfterClose grows with early closes up to its own limit', () => {
  expect(Math.max(...many(() => pauseAfterClose(0, timings)))).toBeLessThanOrEqual(500);
  expect(Math.min(...many(() => pauseAfterClose(3, timings)))).toBeGreaterThanOrEqual(2_000);
  expect(pauseAfterClose(20, timings)).toBe(5_000);
});

test.each([
  [400, true],
  [422, true],
  [401, false],
  [403, false],
  [404, false],
  [410, false],
  [429, false],
  [500, false],
])('refusesStreamingList: %i is %j', (code, refuses) => {
  expect(refusesStreamingList(error(code))).toBe(refuses);
});
