import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { conditionOf, dataPathOf, type Lab, startLab } from '../../integration/lab.ts';
import { changeBeside } from '../../integration/volumes/beside.ts';
import { writeFiles } from '../../integration/volumes/files.ts';
import { mountAt, usedBytesOf } from '../../integration/volumes/kernel.ts';
import { startWriter } from '../../integration/volumes/writer.ts';

const MiB = 2 ** 20;

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('LoopbackVolume minimized beside a writer', () => {
  it('LoopbackVolume: beside a writer it is minimized or waits for a quiet moment, and is minimized by itself when that comes', async () => {
    await lab.createVolume('written', { nodeName: 'node-a', compression: 'none' });
    const volume = await lab.ready('written');
    const files = writeFiles(dataPathOf(volume), 'files', 80, 10);
    files.removeHalf();
    await using writer = startWriter({ dataPath: dataPathOf(volume), logDir: lab.dir, name: 'beside' });
    await writer.writes(1);
    const { first, settled } = await changeBeside(lab, writer, 'written', { minimize: {} });
    // Only what a person has to mend is Stalled.
    expect([conditionOf(first, 'Ready')?.status, conditionOf(first, 'Stalled')]).toEqual(['True', undefined]);
    // While it waits it may keep some space more, for metadata to move to.
    expect(first.status.sizeBytes).toBeLessThanOrEqual(1.1 * 1024 * MiB);
    expect(mountAt(settled.status.mountPath ?? '')?.options).toContain('rw');
    await writer.writes(10);
    await writer.stop();
    const used = usedBytesOf(settled.status.mountPath ?? '');
    expect(settled.status.sizeBytes).toBeLessThanOrEqual(1.3 * used + 256 * MiB);
    const dataPath = dataPathOf(settled);
    expect([files.damaged(dataPath), writer.damaged(dataPath)]).toEqual([[], []]);
  }, 400_000);
});
