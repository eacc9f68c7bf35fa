import { existsSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dataPathOf, type Lab, startLab } from '../lab.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('LoopbackVolume: life', () => {
  it('is applied, mounted and removed', async () => {
    await lab.createVolume('first');
    const volume = await lab.ready('first');
    expect(existsSync(dataPathOf(volume))).toBe(true);
    await lab.remove('first');
    expect(existsSync(volume.status.imagePath ?? '')).toBe(false);
  });
});
