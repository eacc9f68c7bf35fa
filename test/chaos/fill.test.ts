import { describe, it } from 'vitest';
import { breakOffExport, breakOffFill } from '../integration/storage/broken-off.ts';
import { fillFromImage, fillFromStream } from '../integration/storage/filling.ts';

describe('storage: broken off before and after every single command', () => {
  it('C13 fillVolume: never half filled', () => breakOffFill(fillFromStream, 'each-command'));
  it('C13 importImage: never half filled', () => breakOffFill(fillFromImage, 'each-command'));
  it('C13 exportImage: no file or a whole one', () => breakOffExport('each-command'));
});
