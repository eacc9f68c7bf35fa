import { expect, test } from 'vitest';
import { refusedShrinkOf } from '../../../src/agent/volumes/refused.ts';
import type { VolumeObservation } from '../../../src/storage/volumes/observe.ts';

const now = new Date('2026-01-01T12:00:00Z');
const refusedShrink = { targetBytes: 300, usedBytes: 400, message: 'does not fit' };
const seen = (refused?: object) =>
  ({ record: refused && { refusedShrink: refused }, image: { sizeBytes: 1_000 } }) as VolumeObservation;
const busySince = (secondsAgo: number) => ({
  targetBytes: 300,
  reason: 'BusyVolume' as const,
  message: 'busy',
  triedAt: new Date(now.getTime() - secondsAgo * 1_000),
});

test.each([
  ['as much is used as then', 400, 'ShrinkDoesNotFit'],
  ['a little less is used than then', 391, 'ShrinkDoesNotFit'],
  ['a hundredth of the size was freed', 390, undefined],
  ['nobody can see how much is used, as the volume is not mounted', undefined, 'ShrinkDoesNotFit'],
])('F24 refusedShrinkOf: what the record says was refused, when %s', (_, usedBytes, reason) => {
  expect(refusedShrinkOf(seen(refusedShrink), usedBytes, { busy: undefined, now })?.reason).toBe(reason);
});

test.each([
  [14, 'BusyVolume'],
  [15, undefined],
])('refusedShrinkOf: what somebody wrote to %d s ago', (secondsAgo, reason) => {
  expect(refusedShrinkOf(seen(), 400, { busy: busySince(secondsAgo), now })?.reason).toBe(reason);
});
