import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { commandPathWith } from '../storage/store.ts';
import { changesSince, commandsSince, markOf, orderOf, passEnded } from './commands.ts';
import { writeFiles } from './files.ts';
import { sameSizes, sizesOf, usedBytesOf } from './kernel.ts';

const MiB = 2 ** 20;
const SMALLEST = 256 * MiB;

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

async function create(name: string, spec: Record<string, unknown> = {}): Promise<LoopbackVolume> {
  await lab.createVolume(name, { nodeName: 'node-a', ...spec });
  return await lab.ready(name);
}

/** The volume as soon as the size that its last generation asks for is reached. */
async function change(name: string, spec: Record<string, unknown>): Promise<LoopbackVolume> {
  const { metadata } = await lab.change(name, spec);
  const is = (now: LoopbackVolume) => {
    const resized = conditionOf(now, 'Resized');
    return resized?.reason === 'SizeReached' && resized.observedGeneration === metadata.generation;
  };
  return await lab.volumeThat(name, is, 60_000);
}

/** Commands of a volume that resize it. */
const resizesSince = (mark: number, { metadata, status }: LoopbackVolume) =>
  commandsSince(agent, mark)
    .filter((line) => line.includes(metadata.uid) || line.includes(`${status.loopDevice}`))
    .filter((line) => /^(truncate|btrfs filesystem resize|btrfs balance|losetup --set-capacity)\b/.test(line));

describe('LoopbackVolume: minimize', () => {
  let minimized: LoopbackVolume;

  it('A17 A19 A20 LoopbackVolume: a near-empty volume minimizes to exactly 256 MiB, file, device and filesystem alike, in order', async () => {
    const volume = await create('near-empty');
    writeFileSync(path.join(dataPathOf(volume), 'file'), 'small');
    const mark = markOf(agent);
    minimized = await change('near-empty', { minimize: {} });
    expect([minimized.status.sizeBytes, sizesOf(minimized)]).toEqual([SMALLEST, sameSizes(SMALLEST)]);
    const { generation } = minimized.metadata;
    expect(minimized.status.minimized).toEqual({ observedGeneration: generation, sizeBytes: SMALLEST });
    const lines = commandsSince(agent, mark);
    const cut = lines.findIndex((line) => line.startsWith('truncate '));
    const order = [
      /^btrfs filesystem resize \d+ /,
      /^btrfs filesystem sync /,
      /^truncate /,
      /^losetup --set-capacity /,
    ];
    expect(orderOf(lines, order)).not.toContain(-1);
    expect(orderOf(lines, order)[2]).toBe(cut);
    expect(lines.findLastIndex((line) => line.startsWith('btrfs filesystem resize'))).toBeLessThan(cut);
  });

  it('A18 LoopbackVolume: a second pass with the same spec does not touch the image', async () => {
    const image = () => {
      const { size, ino } = statSync(minimized.status.imagePath ?? '');
      return { size, ino };
    };
    const before = image();
    await agent.end();
    agent = await lab.startAgent('node-a');
    await passEnded(agent, 'near-empty', 0);
    expect(changesSince(agent, 0)).toEqual([]);
    expect(image()).toEqual(before);
    expect((await lab.ready('near-empty')).status).toMatchObject({
      sizeBytes: SMALLEST,
      minimized: minimized.status.minimized,
    });
  });

  it('LoopbackVolume: a new headroom or size minimizes again, and without minimize the volume is as large as size again', async () => {
    const roomier = await change('near-empty', { minimize: { headroom: '300Mi' } });
    expect(roomier.status.sizeBytes).toBeGreaterThanOrEqual(300 * MiB);
    expect(roomier.status.minimized?.observedGeneration).toBe(roomier.metadata.generation);
    const limited = await change('near-empty', { size: '290Mi' });
    expect([limited.status.sizeBytes, sizesOf(limited)]).toEqual([290 * MiB, sameSizes(290 * MiB)]);
    const whole = await change('near-empty', { size: '1Gi', minimize: null });
    expect([whole.status.sizeBytes, sizesOf(whole)]).toEqual([1024 * MiB, sameSizes(1024 * MiB)]);
    expect(whole.status.minimized).toBeUndefined();
  });

  it('A18 LoopbackVolume: what is as small as it can be already is not resized', async () => {
    const volume = await create('small-already', { size: '200Mi' });
    const mark = markOf(agent);
    const done = await change('small-already', { minimize: {} });
    expect(done.status.sizeBytes).toBe(200 * MiB);
    expect(done.status.minimized?.sizeBytes).toBe(200 * MiB);
    expect(resizesSince(mark, volume)).toEqual([]);
  });

  it('LoopbackVolume: while a long minimize runs status.progress tells how far it is, and files are written all the time', async () => {
    const shimsPath = path.join(lab.dir, 'slow');
    mkdirSync(shimsPath);
    const script = `#!/bin/sh\nPATH=\${PATH#*:}\ncase "$*" in balance*) sleep 0.2 ;; esac\nexec btrfs "$@"\n`;
    writeFileSync(path.join(shimsPath, 'btrfs'), script, { mode: 0o755 });
    await lab.startAgent('node-slow', { commandPath: commandPathWith(shimsPath) });
    const volume = await create('busy', { nodeName: 'node-slow', compression: 'none' });
    const files = writeFiles(dataPathOf(volume), 'files', 24, 14);
    files.removeHalf();
    await lab.change('busy', { minimize: {} });
    const running = await lab.volumeThat('busy', ({ status }) => status.progress !== undefined, 20_000);
    expect(running.status.progress).toMatchObject({
      operation: 'Minimize',
      phase: expect.stringMatching(/^[A-Z]\w+$/),
    });
    const { sizeBytes = 0, movedBytes = -1, startedAt = '', updatedAt = '' } = running.status.progress ?? {};
    expect([sizeBytes > SMALLEST, sizeBytes <= 1024 * MiB, movedBytes >= 0]).toEqual([true, true, true]);
    expect(Date.parse(updatedAt)).toBeGreaterThanOrEqual(Date.parse(startedAt));
    expect(['Ready', 'Resized', 'Reconciling'].map((type) => conditionOf(running, type)?.status)).toEqual([
      'True',
      'False',
      'True',
    ]);
    expect(conditionOf(running, 'Reconciling')?.reason).toBe('Minimizing');
    writeFileSync(path.join(dataPathOf(volume), 'meanwhile'), 'written');
    const done = await lab.volumeThat('busy', ({ status }) => status.minimized !== undefined, 60_000);
    expect([done.status.progress, conditionOf(done, 'Reconciling')]).toEqual([undefined, undefined]);
    const used = usedBytesOf(done.status.mountPath ?? '');
    expect(done.status.sizeBytes).toBeLessThanOrEqual(1.3 * used + 256 * MiB);
    expect(sizesOf(done)).toEqual(sameSizes(done.status.sizeBytes ?? 0));
    expect(files.damaged(dataPathOf(done))).toEqual([]);
  });
});
