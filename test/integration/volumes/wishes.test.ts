import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('LoopbackVolume: wishes', () => {
  it('F27 LoopbackVolume: an owner that can not be set holds up neither label nor options, size or minimize', async () => {
    await lab.createVolume('stubborn', { size: '512Mi' });
    const volume = await lab.ready('stubborn');
    const dataPath = dataPathOf(volume);
    sh('chattr', '+i', dataPath);
    try {
      await lab.change('stubborn', { owner: { uid: 7, gid: 7 }, label: 'new', compression: 'none', size: '384Mi' });
      const failing = await lab.withReason('stubborn', 'Reconciling', 'CommandFailed');
      expect(conditionOf(failing, 'Reconciling')?.message).toMatch(
        /could not set spec.owner .*chattr -i.*not permitted/,
      );
      expect(conditionOf(failing, 'Ready')?.status).toBe('True');
      expect(conditionOf(failing, 'Resized')).toMatchObject({ status: 'True', reason: 'SizeReached' });
      expect(failing.status.sizeBytes).toBe(384 * 1024 * 1024);
      expect(sh('btrfs', 'filesystem', 'label', path.dirname(dataPath))).toBe('new');
      expect(failing.status.mountOptions?.join()).not.toContain('zstd');
      await lab.change('stubborn', { minimize: {} });
      await lab.volumeThat('stubborn', ({ status }) => status.minimized !== undefined, 30_000);
    } finally {
      sh('chattr', '-i', dataPath);
    }
    await lab.ready('stubborn', 60_000);
    expect(sh('stat', '--format=%u %g', dataPath)).toBe('7 7');
  });
});
