import { describe, expect, it } from 'vitest';
import { CompactHistory } from '../../../src/storage/compact-history.ts';
import type { Layout, UsedChunk } from '../../../src/storage/compact-layout.ts';
import { decideStep } from '../../../src/storage/compact-plan.ts';
import type { Goal, MovingStep, Step } from '../../../src/storage/compact-step.ts';

const MiB = 1024 * 1024;

/** A chunk at `startMiB`, `[kind, start, length, used]` in MiB. */
type Place = readonly [kind: UsedChunk['kind'], startMiB: number, lengthMiB: number, usedMiB: number];

function chunkAt([kind, startMiB, lengthMiB, usedMiB]: Place): UsedChunk {
  const physicalStarts = [startMiB * MiB];
  return {
    kind,
    logicalStart: (startMiB + 100) * MiB,
    lengthBytes: lengthMiB * MiB,
    usedBytes: usedMiB * MiB,
    physicalStarts,
  };
}

function layoutWith(places: readonly Place[], { sizeMiB = 1024, capacityMiB = 1088 } = {}): Layout {
  return {
    sizeBytes: sizeMiB * MiB,
    capacityBytes: capacityMiB * MiB,
    chunks: places.map(chunkAt),
    globalReserveBytes: 5.5 * MiB,
  };
}

const GOAL: Goal = { stopAtBytes: 460 * MiB, mostBytes: 1024 * MiB, exact: false };
const SYSTEM: Place = ['system', 1, 4, 0];
const FULL_DATA: readonly Place[] = [21, 133, 245, 357, 469, 581, 693, 805].map((at) => ['data', at, 112, 50]);

function moveOf(step: Step): MovingStep {
  if (step.kind === 'finish' || step.kind === 'inspect') throw new Error(`unexpected ${step.kind}`);
  return step;
}

describe('decideStep', () => {
  it('A21 decideStep: too little metadata gets a place at the present size first, and nothing unallocated is closed off', () => {
    const layout = layoutWith([SYSTEM, ['metadata', 5, 8, 1], ...FULL_DATA.slice(0, 7)]);
    const step = moveOf(decideStep(layout, GOAL, new CompactHistory()));
    expect([step.kind, step.sizeBytes, step.alone]).toEqual(['enlarge', 1024 * MiB, false]);
  });

  it('A21 decideStep: where data takes everything, metadata grows beyond the size before, while nobody writes', () => {
    const layout = layoutWith([SYSTEM, ['metadata', 5, 8, 1], ...FULL_DATA, ['data', 917, 107, 1]]);
    const history = new CompactHistory();
    const step = moveOf(decideStep(layout, GOAL, history));
    expect([step.kind, step.sizeBytes, step.alone]).toEqual(['enlarge', 1088 * MiB, true]);
    history.fail(step);
    expect(decideStep(layout, GOAL, history)).toEqual({
      kind: 'finish',
      sizeBytes: 1024 * MiB,
      outcome: 'as-small-as-it-gets',
    });
  });

  it('A21 decideStep: where metadata has to wait for writers, they get back the space that there was before', () => {
    const layout = layoutWith([SYSTEM, ['metadata', 5, 8, 1], ...FULL_DATA], { sizeMiB: 917, capacityMiB: 917 });
    const history = new CompactHistory();
    history.heldUp = true;
    expect(decideStep(layout, GOAL, history)).toMatchObject({ kind: 'finish', sizeBytes: 1024 * MiB });
  });

  it('A19 decideStep: near the size is enough to minimize, not to shrink', () => {
    const layout = layoutWith([SYSTEM, ['metadata', 5, 64, 1], ['data', 69, 200, 150], ['data', 269, 200, 150]]);
    expect(decideStep(layout, GOAL, new CompactHistory())).toMatchObject({ kind: 'finish', outcome: 'near-enough' });
    expect(decideStep(layout, { ...GOAL, exact: true }, new CompactHistory()).kind).not.toBe('finish');
  });

  it('A21 decideStep: the only metadata chunk is never moved by a resize, which closes it before there is a new one', () => {
    const layout = layoutWith([SYSTEM, ...FULL_DATA.slice(0, 5), ['metadata', 677, 96, 1]], { sizeMiB: 773 });
    const step = moveOf(decideStep(layout, GOAL, new CompactHistory()));
    expect([step.kind, step.chunk.kind]).not.toEqual(['tighten', 'metadata']);
  });
});
