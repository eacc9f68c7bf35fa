import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/host/command.ts';
import { carryOut } from '../../../src/storage/compact-carry-out.ts';
import { CompactHistory } from '../../../src/storage/compact-history.ts';
import type { Layout, UsedChunk } from '../../../src/storage/compact-layout.ts';
import { isWrittenTo } from '../../../src/storage/compact-observe.ts';
import type { MovingStep } from '../../../src/storage/compact-step.ts';
import { fixture } from '../../builders/fixtures.ts';

const MiB = 1024 * 1024;

/** What a sync finds: something written, or nothing. */
type Sync = 'written' | 'nothing';

/** A filesystem whose syncs find this, the last one for ever; `onResize` is what they find from the first resize on. */
function filesystemWith({ syncs, onResize }: { syncs: readonly Sync[]; onResize?: readonly Sync[] }) {
  const block = fixture('mkfs.btrfs-6.2-superblock');
  const seen: string[] = [];
  let left = [...syncs];
  let generation = 7n;
  let onDevice = '';
  const commit = () => {
    block.writeBigUInt64LE(generation, 0x48);
    onDevice = block.toString('hex');
  };
  const run: Run = async ({ file, args }) => {
    const word = args[1] ?? '';
    if (file === 'od') return { exitCode: 0, stdout: onDevice, stderr: '', durationMs: 0 };
    if (word === 'resize') left = [...(onResize ?? left)];
    else if (word === 'sync') {
      const [next] = left.length > 1 ? left.splice(0, 1) : left;
      if (next === 'written') generation++;
      commit();
    } else throw new Error(`nobody scripted ${args.join(' ')}`);
    seen.push(word === 'resize' ? `resize ${Number(args[2]) / MiB}` : word);
    return { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };
  };
  return { seen, target: { run, devicePath: '/dev/loop7', mountPath: '/mnt', filesystemUUID: 'not-mounted' } };
}

function chunkAt(kind: UsedChunk['kind'], startMiB: number, lengthMiB: number, usedMiB: number): UsedChunk {
  const lengthBytes = lengthMiB * MiB;
  return {
    kind,
    logicalStart: startMiB * MiB,
    lengthBytes,
    usedBytes: usedMiB * MiB,
    physicalStarts: [startMiB * MiB],
  };
}

const METADATA = chunkAt('metadata', 405, 64, 26);
const LAYOUT: Layout = {
  sizeBytes: 512 * MiB,
  capacityBytes: 576 * MiB,
  chunks: [chunkAt('system', 1, 4, 0), chunkAt('data', 85, 320, 260), METADATA],
  globalReserveBytes: 5.5 * MiB,
};
const LOWER: MovingStep = { kind: 'lower', chunk: METADATA, sizeBytes: 470 * MiB, roomBytes: 80 * MiB, alone: true };

describe.concurrent('isWrittenTo', () => {
  it.each([
    ['nothing written', ['nothing'], 500, false, 2],
    ['the own work of the kernel', ['written', 'written', 'nothing'], 500, false, 3],
    ['something each time', ['written'], 500, true, 4],
    ['a pause that is shorter than asked for', ['nothing', 'nothing', 'written', 'nothing'], 1000, false, 5],
    ['pauses that are all too short', [1, 2, 3].flatMap(() => ['nothing', 'written'] as const), 1000, true, 6],
  ] as const)('A21 isWrittenTo: %s', async (_, syncs, quietMs, written, looks) => {
    const { target, seen } = filesystemWith({ syncs });
    expect([await isWrittenTo(target, quietMs), seen.length]).toEqual([written, looks]);
  });
});

describe.concurrent('carryOut', () => {
  it('A21 carryOut: who goes on as soon as the filesystem has grown keeps metadata where it is', async () => {
    const { target, seen } = filesystemWith({ syncs: ['nothing'], onResize: ['nothing', 'written'] });
    const history = new CompactHistory();
    await carryOut(target, LAYOUT, history, LOWER);
    expect(seen).toEqual(['resize 469', 'resize 470', 'sync', 'sync', 'sync', 'sync']);
    expect([history.heldUp, history.sawWriter, history.failed.size, history.movedBytes]).toEqual([true, true, 1, 0]);
  });

  it('A21 carryOut: beyond the size there is, it grows only when nobody seems to write before either', async () => {
    const { target, seen } = filesystemWith({ syncs: ['written'] });
    const history = new CompactHistory();
    await carryOut(target, LAYOUT, history, { ...LOWER, kind: 'enlarge', sizeBytes: 576 * MiB });
    expect([seen.includes('resize 576'), history.heldUp]).toEqual([false, true]);
  });

  it('A21 carryOut: once somebody was seen, a moment is not quiet enough to move metadata', async () => {
    const { target, seen } = filesystemWith({
      syncs: ['nothing'],
      onResize: [1, 2, 3].flatMap(() => ['nothing', 'nothing', 'written'] as const),
    });
    const history = new CompactHistory();
    history.sawWriter = true;
    await carryOut(target, LAYOUT, history, LOWER);
    expect([seen.slice(0, 4), history.heldUp]).toEqual([['sync', 'sync', 'resize 469', 'resize 470'], true]);
  });
});

describe('CompactHistory', () => {
  it('A21 CompactHistory: more or less data than before is somebody who writes, moved chunks are not', () => {
    const history = new CompactHistory();
    const moved = { ...LAYOUT, chunks: [...LAYOUT.chunks.slice(0, 2), { ...METADATA, physicalStarts: [5 * MiB] }] };
    for (const layout of [LAYOUT, moved]) history.observe(layout);
    expect(history.sawWriter).toBe(false);
    history.observe({ ...moved, chunks: [...moved.chunks, chunkAt('data', 405, 48, 1)] });
    expect(history.sawWriter).toBe(true);
  });
});
