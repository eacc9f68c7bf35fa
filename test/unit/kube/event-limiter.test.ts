import { expect, test } from 'vitest';
import { createLimiter, RecentMap } from '../../../src/kube/event-limiter.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

test('Limiter: 25 at once, then one each 300 s, never more than 25 saved', async () => {
  const clock = new ManualClock();
  const limiter = createLimiter(clock);
  const taken = () => Array.from({ length: 100 }, () => limiter.take('a')).filter(Boolean).length;
  expect(taken()).toBe(25);
  await clock.advance(299_999);
  expect(taken()).toBe(0);
  await clock.advance(1);
  expect(taken()).toBe(1);
  await clock.advance(300_000 * 1000);
  expect(taken()).toBe(25);
});

test('Limiter: keys do not share', () => {
  const limiter = createLimiter(new ManualClock());
  for (let i = 0; i < 30; i++) limiter.take('a');
  expect(limiter.take('b')).toBe(true);
});

test('RecentMap forgets what was used longest ago', () => {
  const map = new RecentMap<number>(2);
  map.set('a', 1);
  map.set('b', 2);
  map.get('a');
  map.set('c', 3);
  expect([map.get('a'), map.get('b'), map.get('c')]).toEqual([1, undefined, 3]);
  map.delete('a');
  expect(map.get('a')).toBeUndefined();
});
