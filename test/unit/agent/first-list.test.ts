import { describe, expect, it } from 'vitest';
import { createFirstList } from '../../../src/agent/node/first-list.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

describe('createFirstList', () => {
  it('C8 createFirstList: a status without a list is none, an empty list is one', () => {
    const firstList = createFirstList(new ManualClock());
    firstList.written(undefined);
    expect([firstList.isWritten, firstList.complaint()]).toEqual([false, 'orphans of the node are not listed yet']);
    firstList.written([]);
    firstList.written(undefined);
    expect([firstList.isWritten, firstList.complaint()]).toEqual([true, undefined]);
  });

  it('C8 createFirstList: one that does not come is waited for half a minute', async () => {
    const clock = new ManualClock();
    const firstList = createFirstList(clock);
    await clock.advance(60_000);
    expect(firstList.complaint()).toBeDefined();
    await clock.advance(29_999);
    expect(firstList.complaint()).toBeDefined();
    await clock.advance(1);
    expect([firstList.isWritten, firstList.complaint()]).toEqual([false, undefined]);
  });
});
