import { describe, expect, it } from 'vitest';
import { fillNames } from '../builders/fills.ts';
import { chaosSeed } from '../crash/chaos-seed.ts';
import { compactFill, MiB, type Outcome } from '../integration/compact-filesystem.ts';

const FILLS = 20;
const GiB = 1024 * MiB;

describe('compactFilesystem', () => {
  it(`A24 compactFilesystem: ${FILLS} random fills of 1 and 4 GiB end within the bounds, nine of ten within the tighter one`, async () => {
    const seed = chaosSeed();
    const outcomes: Outcome[] = [];
    for (let index = 0; index < FILLS; index++) {
      const fill = fillNames[index % fillNames.length] ?? 'mixed';
      const metadataProfile = index % 4 === 3 ? 'dup' : 'single';
      const sizeBytes = index % 5 === 4 ? 4 * GiB : GiB;
      const outcome = await compactFill(fill, seed + index, { sizeBytes, metadataProfile });
      console.log(`${outcome.tight ? 'tight  ' : 'bounded'} ${outcome.line}`);
      outcomes.push(outcome);
    }
    expect(outcomes.filter(({ bounded }) => !bounded).map(({ line }) => line)).toEqual([]);
    expect(outcomes.filter(({ belowMinDevSize }) => !belowMinDevSize).map(({ line }) => line)).toEqual([]);
    expect(outcomes.filter(({ tight }) => tight).length).toBeGreaterThanOrEqual(0.9 * FILLS);
  });
});
