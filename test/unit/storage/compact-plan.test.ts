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

  it('A21 decideStep: where the holes take the last chunk and little else, writers get room behind the end, less than the hole', () => {
    const layout = layoutWith([SYSTEM, ['data', 133, 112, 111], ['metadata', 245, 32, 2], ['data', 277, 112, 111]], {
      sizeMiB: 389,
    });
    const step = moveOf(decideStep(layout, { ...GOAL, stopAtBytes: 320 * MiB }, new CompactHistory()));
    expect([step.kind, step.chunk]).toEqual(['lower', layout.chunks[3]]);
    expect(step.sizeBytes).toBeGreaterThan(389 * MiB + 16 * MiB);
    expect(step.sizeBytes).toBeLessThan((389 + 128) * MiB);
  });

  it('A21 decideStep: the last chunk goes into what is free in others and takes nearly all of it only while nobody writes', () => {
    const full: readonly Place[] = [21, 133].map((at) => ['data', at, 112, 90]);
    const layout = layoutWith([SYSTEM, ['metadata', 5, 16, 1], ...full, ['data', 245, 112, 20]], { sizeMiB: 357 });
    const step = moveOf(decideStep(layout, { ...GOAL, stopAtBytes: 300 * MiB }, new CompactHistory()));
    expect(step).toMatchObject({ kind: 'squeeze', chunk: layout.chunks[4], unlessWritten: true });
  });
});

describe('decideStep where pieces do not fit together', () => {
  const EXACT: Goal = { stopAtBytes: 500 * MiB, mostBytes: 1024 * MiB, exact: true };
  const METADATA: Place = ['metadata', 5, 16, 1];
  /** Each with less free than any of them uses. */
  const UNEVEN: readonly Place[] = [21, 133, 245, 357, 469].map((at) => ['data', at, 112, 93]);
  const small = { sizeMiB: 581, capacityMiB: 1162 };
  const uneven = layoutWith([SYSTEM, METADATA, ...UNEVEN], small);

  /** The next step but for looking, which finds extents of this length in each chunk. */
  function decide(layout: Layout, history: CompactHistory, extentMiB = 40): Step {
    for (;;) {
      const step = decideStep(layout, EXACT, history);
      if (step.kind !== 'inspect') return step;
      history.longestExtents.set(step.chunk.logicalStart, extentMiB * MiB);
    }
  }

  it('A24 decideStep: all data is rewritten in a filesystem as large as the device, the lowest first, while nobody writes', () => {
    const history = new CompactHistory();
    const first = moveOf(decide(uneven, history));
    expect(first).toMatchObject({ kind: 'rewrite', sizeBytes: 1162 * MiB, unlessWritten: true });
    history.begin(first, uneven);
    const rewritten = layoutWith([SYSTEM, METADATA, ...UNEVEN.slice(1), ['data', 581, 128, 93]], small);
    const second = moveOf(decide(rewritten, history));
    expect([first, second].map(({ chunk }) => chunk.physicalStarts)).toEqual([[21 * MiB], [133 * MiB]]);
  });

  it('A24 decideStep: what was rewritten comes down again, and is not rewritten once more', () => {
    const history = new CompactHistory();
    history.begin(moveOf(decide(uneven, history)), uneven);
    const above = layoutWith([SYSTEM, METADATA, ['data', 581, 240, 230], ['data', 821, 240, 235]], {
      sizeMiB: 1162,
      capacityMiB: 1162,
    });
    expect(moveOf(decide(above, history))).toMatchObject({ kind: 'lift', chunk: above.chunks[3] });
    const again = uneven.chunks.map((chunk) => ({ ...chunk, logicalStart: chunk.logicalStart + 10_000 * MiB }));
    expect(decide({ ...uneven, chunks: again }, history)).toMatchObject({ outcome: 'as-small-as-it-gets' });
  });

  it('A24 decideStep: metadata in the middle goes up first, so that it does not divide the space for data', () => {
    const divided = layoutWith([SYSTEM, ...UNEVEN.slice(0, 4), ['metadata', 469, 16, 1], ['data', 485, 112, 93]], {
      sizeMiB: 597,
      capacityMiB: 1194,
    });
    const step = moveOf(decide(divided, new CompactHistory()));
    expect([step.kind, step.chunk.kind, step.unlessWritten]).toEqual(['rewrite', 'metadata', true]);
    expect(step.sizeBytes).toBeGreaterThanOrEqual((597 + 16) * MiB);
  });

  // A filesystem of 500 MiB makes chunks of 64 MiB, and on the way down to it of 112 MiB. 0: too many extents to know.
  it.each([
    [64, 1162, 'rewrite'],
    [112, 1162, 'rewrite'],
    [113, 1162, 'finish'],
    [64, 2048, 'rewrite'],
    [65, 2048, 'finish'],
    [0, 1162, 'finish'],
  ] as const)(
    'A24 decideStep: with extents of %d MiB on a device of %d MiB the next step is %s',
    (extentMiB, capacityMiB, kind) => {
      const layout = { ...uneven, capacityBytes: capacityMiB * MiB };
      expect(decide(layout, new CompactHistory(), extentMiB).kind).toBe(kind);
    },
  );

  it('A24 decideStep: a device with no room behind the end is left as it is', () => {
    const cramped = { ...uneven, capacityBytes: 600 * MiB };
    expect(decide(cramped, new CompactHistory())).toMatchObject({ outcome: 'as-small-as-it-gets' });
  });

  it('A21 decideStep: somebody who writes ends the rewriting, and the run is not held up by it', () => {
    const history = new CompactHistory();
    history.putOff(moveOf(decide(uneven, history)));
    expect([decide(uneven, history).kind, history.heldUp]).toEqual(['finish', false]);
  });
});
