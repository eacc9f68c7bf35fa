import { describe, it } from 'vitest';
import { chaosSeed } from '../../crash/chaos-seed.ts';
import { breakOffExport, breakOffFill } from '../../integration/storage/broken-off.ts';
import { fillFromImage, fillFromStream } from '../../integration/storage/filling.ts';

const TIMEOUT_MS = 240_000;

describe('a volume with a source', { timeout: TIMEOUT_MS }, () => {
  // `make chaos` breaks off before and after every single command.
  it.each([
    ['fillVolume', fillFromStream],
    ['importImage', fillFromImage],
  ] as const)(
    'C13 %s: broken off at any kind of command it is never half filled; the next run fills it, or removes all of it',
    (_, fill) => breakOffFill(fill, { seed: chaosSeed() }),
  );
});

describe('exportImage', { timeout: TIMEOUT_MS }, () => {
  it('C13 exportImage: broken off at any kind of command there is no file or a whole one, the next run writes it, and all goes with the volume', () =>
    breakOffExport({ seed: chaosSeed() }));
});
