import { describe, expect, it } from 'vitest';
import { type Heals, healingRefusal, noteHealing } from '../../../src/agent/volumes/healing.ts';
import { treeOf, UID } from '../../builders/observations.ts';

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
const readOnly = treeOf({ readOnly: true, deviceErrors: { write: 7, read: 0, flush: 1 } });
const writable = treeOf();

/** Seconds at which a volume that never stays writable is mounted anew, when it is looked at each second. */
function healedAt(untilSeconds: number): number[] {
  const heals: Heals = new Map();
  const tried: number[] = [];
  for (let second = 0; second < untilSeconds; second++) {
    if (healingRefusal(heals, UID, readOnly, at(second)) !== undefined) continue;
    noteHealing(heals, UID, at(second));
    tried.push(second);
  }
  return tried;
}

describe('healing', () => {
  it('F49 LoopbackVolume: healing that does not last is tried again with growing pauses, up to five minutes', () => {
    expect(healedAt(1300)).toEqual([0, 10, 30, 70, 150, 310, 610, 910, 1210]);
  });

  it('F49 LoopbackVolume: the refusal says what fails and since when, and is the same each time', () => {
    const heals: Heals = new Map();
    noteHealing(heals, UID, at(0));
    noteHealing(heals, UID, at(20));
    const said = [21, 25, 39].map((second) => healingRefusal(heals, UID, readOnly, at(second))?.message);
    expect(new Set(said).size).toBe(1);
    expect(said[0]).toContain('since 2026-01-01T00:00:00Z: its device fails (write, flush errors)');
  });

  it('F49 LoopbackVolume: mounted anew a second time it is not trusted before it has lasted, and all is forgotten when it has', () => {
    const heals: Heals = new Map();
    const refused = (second: number, tree = writable) => healingRefusal(heals, UID, tree, at(second)) !== undefined;
    noteHealing(heals, UID, at(0));
    expect(refused(1)).toBe(false);
    noteHealing(heals, UID, at(20));
    expect([21, 64, 66].map((second) => refused(second))).toEqual([true, true, false]);
    expect(refused(700)).toBe(false);
    expect(heals.size).toBe(0);
  });
});
