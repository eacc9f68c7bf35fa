import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { changeBeside } from './beside.ts';
import { changesSince, commandsSince, markOf, orderOf } from './commands.ts';
import { type KnownFiles, writeFiles } from './files.ts';
import { mountAt, sameSizes, sizesOf, usedBytesOf } from './kernel.ts';
import { startWriter, type Writer } from './writer.ts';

const MiB = 2 ** 20;

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Resized as soon as the kernel has all three sizes and status says so. */
async function resize(name: string, size: string | number): Promise<LoopbackVolume> {
  const { metadata } = await lab.change(name, { size });
  return await lab.volumeThat(
    name,
    (volume) => {
      const resized = conditionOf(volume, 'Resized');
      return resized?.reason === 'SizeReached' && resized.observedGeneration === metadata.generation;
    },
    60_000,
  );
}

describe('LoopbackVolume: grow and shrink while data is written', () => {
  let volume: LoopbackVolume;
  let files: KnownFiles;
  let writer: Writer;

  beforeAll(async () => {
    await lab.createVolume('elastic', { size: '512Mi', compression: 'none' });
    volume = await lab.ready('elastic');
    files = writeFiles(dataPathOf(volume), 'files', 20, 16);
    files.removeHalf();
    writer = startWriter({ dataPath: dataPathOf(volume), logDir: lab.dir, name: 'writer' });
    await writer.writes(1);
  });
  afterAll(() => writer?.[Symbol.asyncDispose]());

  it('A20 LoopbackVolume: status.sizeBytes is the size of the file when created', () => {
    expect([volume.status.sizeBytes, sizesOf(volume)]).toEqual([512 * MiB, sameSizes(512 * MiB)]);
  });

  it('A21 LoopbackVolume: grows online, in the order truncate, set-capacity, resize, with an open file', async () => {
    const held = openSync(path.join(dataPathOf(volume), 'held'), 'w');
    const mark = markOf(agent);
    const grown = await resize('elastic', '1Gi');
    const lines = commandsSince(agent, mark);
    expect(
      orderOf(lines, [/^truncate --size=1073741824 /, /^losetup --set-capacity /, /^btrfs filesystem resize max /]),
    ).not.toContain(-1);
    expect(
      lines.filter((line) => /^(truncate|losetup --set-capacity|btrfs filesystem resize)\b/.test(line)),
    ).toHaveLength(3);
    writeSync(held, 'still open');
    fsyncSync(held);
    closeSync(held);
    await writer.writes(10);
    expect(writer.refused()).toBe(0);
    expect([grown.status.sizeBytes, sizesOf(grown)]).toEqual([1024 * MiB, sameSizes(1024 * MiB)]);
    expect(mountAt(grown.status.mountPath ?? '')?.id).toBe(mountAt(volume.status.mountPath ?? '')?.id);
  });

  it('A19 LoopbackVolume: shrinks online, in the order resize, read size, truncate, set-capacity; all three agree', async () => {
    const mark = markOf(agent);
    const written = writer.acknowledged();
    const { first, settled: shrunk } = await changeBeside(lab, writer, 'elastic', { size: '400Mi' });
    expect([conditionOf(first, 'Ready')?.status, conditionOf(first, 'Stalled')]).toEqual(['True', undefined]);
    const lines = commandsSince(agent, mark);
    const isCut = (line: string) => line.startsWith(`truncate --size=${400 * MiB} `);
    const end = lines.slice(lines.findLastIndex((line) => line.startsWith('btrfs filesystem resize')));
    const order = orderOf(end, [
      /^btrfs filesystem resize \d+ /,
      /^btrfs filesystem sync /,
      /^truncate /,
      /^losetup --set-capacity /,
    ]);
    expect(order).not.toContain(-1);
    expect([order[2], lines.filter(isCut).length]).toEqual([end.findIndex(isCut), 1]);
    expect([shrunk.status.sizeBytes, sizesOf(shrunk)]).toEqual([400 * MiB, sameSizes(400 * MiB)]);
    expect(writer.acknowledged()).toBeGreaterThan(written);
  }, 400_000);

  it('LoopbackVolume: a shrink with metadata at the end of the device does not turn it read-only', async () => {
    await resize('elastic', '1Gi');
    const { status } = await lab.ready('elastic');
    // New chunks are made behind what is there.
    sh('btrfs', 'balance', 'start', '--force', '-musage=100', status.mountPath ?? '');
    const { settled: shrunk } = await changeBeside(lab, writer, 'elastic', { size: '400Mi' });
    expect(mountAt(status.mountPath ?? '')?.options).toContain('rw');
    expect(sizesOf(shrunk)).toEqual(sameSizes(400 * MiB));
    await writer.writes(10);
  }, 400_000);

  it('A20 LoopbackVolume: sizes between sectors end on a sector, up and down', async () => {
    for (const bytes of [500 * MiB - 1, 450 * MiB + 1]) {
      const { status } = (await changeBeside(lab, writer, 'elastic', { size: bytes })).settled;
      expect(status.sizeBytes).toBe(Math.ceil(bytes / 4096) * 4096);
    }
    const now = await lab.ready('elastic');
    expect(sizesOf(now)).toEqual(sameSizes(now.status.sizeBytes ?? 0));
  }, 400_000);

  it('LoopbackVolume: nothing that was synced is lost by growing and shrinking, as read from disk', async () => {
    await writer.writes(10);
    await writer.stop();
    await lab.change('elastic', { mounted: false });
    await lab.withReason('elastic', 'Mounted', 'Unmounted');
    await lab.change('elastic', { mounted: true });
    const dataPath = dataPathOf(await lab.ready('elastic'));
    expect([files.damaged(dataPath), writer.damaged(dataPath)]).toEqual([[], []]);
  });
});

describe('LoopbackVolume: a shrink that does not fit', () => {
  let volume: LoopbackVolume;

  beforeAll(async () => {
    await lab.createVolume('full', { size: '640Mi', compression: 'none' });
    volume = await lab.ready('full');
  });

  /** The volume as soon as the shrink was refused, and the states of Ready that were seen until then. */
  async function refusal(size: string) {
    const readys = new Set<string>();
    await lab.change('full', { size });
    const isRefused = (now: LoopbackVolume) => {
      readys.add(conditionOf(now, 'Ready')?.status ?? 'none');
      return conditionOf(now, 'Resized')?.reason === 'ShrinkDoesNotFit';
    };
    const refused = await lab.volumeThat('full', isRefused, 60_000);
    const message = conditionOf(refused, 'Resized')?.message ?? '';
    return { refused, readys: [...readys], neededBytes: Number(/about (\d+)Mi/.exec(message)?.[1]) * MiB };
  }

  function expectRefused({ refused, readys, neededBytes }: Awaited<ReturnType<typeof refusal>>): void {
    const used = usedBytesOf(refused.status.mountPath ?? '');
    expect(neededBytes).toBeGreaterThanOrEqual(used);
    expect(neededBytes).toBeLessThanOrEqual(1.5 * used + 512 * MiB);
    expect([refused.status.sizeBytes, sizesOf(refused)]).toEqual([640 * MiB, sameSizes(640 * MiB)]);
    expect(readys).toEqual(['True']);
    expect(conditionOf(refused, 'Resized')?.status).toBe('False');
    expect(conditionOf(refused, 'Stalled')?.reason).toBe('ShrinkDoesNotFit');
  }

  it('LoopbackVolume: is refused with about how much is needed, data and size stay, also if that shows only by trying', async () => {
    const files = writeFiles(dataPathOf(volume), 'files', 25, 10);
    expectRefused(await refusal('256Mi'));
    expect(files.damaged(dataPathOf(volume))).toEqual([]);
    await resize('full', '640Mi');
  });

  it('LoopbackVolume: is refused before anything moves when more is used, and a size with room for it works', async () => {
    const files = writeFiles(dataPathOf(volume), 'more-files', 5, 10);
    const mark = markOf(agent);
    const refused = await refusal('260Mi');
    expectRefused(refused);
    expect(changesSince(agent, mark).filter((line) => /balance|resize|truncate/.test(line))).toEqual([]);
    const fitting = await resize('full', '560Mi');
    expect(sizesOf(fitting)).toEqual(sameSizes(560 * MiB));
    expect(conditionOf(fitting, 'Stalled')).toBeUndefined();
    expect(files.damaged(dataPathOf(fitting))).toEqual([]);
  });
});
