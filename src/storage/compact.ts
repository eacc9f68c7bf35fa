import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { readChunkUsage, readLongestExtent } from '../host/block-group-usage.ts';
import { balanceChunk, cancelBalance, exclusiveOperation } from '../host/btrfs-balance.ts';
import { cancelResize, isOutOfSpace, resizeFilesystem, syncFilesystem } from '../host/btrfs-filesystem.ts';
import { readChunkTree } from '../host/chunk-tree.ts';
import type { Run } from '../host/command.ts';
import { readAllocation } from '../host/space-info.ts';
import { endOf, type Layout, neededBytes, totalOf, usedOnDisk } from './compact-layout.ts';
import { decideStep, type History, type MovingStep, stepKey } from './compact-plan.ts';
import { StorageError } from './errors.ts';

export interface CompactTarget {
  readonly run: Run;
  readonly devicePath: string;
  readonly mountPath: string;
  readonly filesystemUUID: string;
}
export interface CompactOptions extends CompactTarget {
  readonly stopAtBytes: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((p: { phase: string; sizeBytes: number; movedBytes: number }) => void) | undefined;
}
const BUDGET = 4;

export async function compactFilesystem(options: CompactOptions) {
  await endLeftovers(options);
  const failed = new Map<string, number>();
  const longestExtents = new Map<number, number>();
  let drops = 0;
  let counts = false;
  let movesInVain = 0,
    movedBytes = 0,
    best = Infinity,
    previousEnd = Infinity,
    budget = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const layout = await observeLayout(options);
    budget ||= BUDGET * usedOnDisk(layout) + 256 * 2 ** 20;
    const end = endOf(layout);
    const score = end + layout.chunks.reduce((n, c) => n + c.lengthBytes * c.physicalStarts.length, 0) / 1e6;
    if (score < best) {
      best = score;
      movesInVain = 0;
    } else if (end >= previousEnd && counts) movesInVain++;
    counts = true;
    previousEnd = end;
    const history: History = { failed, movesInVain, longestExtents };
    const step = decideStep(layout, options, history);
    if (process.env.DBG) {
      const { chunk, ...rest } = step as any;
      console.log(
        JSON.stringify({
          ...rest,
          size: layout.sizeBytes / 2 ** 20,
          end: end / 2 ** 20,
          chunk:
            chunk &&
            `${chunk.kind} @${chunk.physicalStarts[0] / 2 ** 20} len ${chunk.lengthBytes / 2 ** 20} used ${(chunk.usedBytes / 2 ** 20).toFixed(1)}`,
          need: (neededBytes(layout) / 2 ** 20) | 0,
          sz: (step as any).sizeBytes / 2 ** 20,
          movedBytes: (movedBytes / 2 ** 20) | 0,
          movesInVain,
        }),
      );
      if (process.env.DBG === '2') console.log(draw(layout));
    }
    if (step.kind === 'finish') {
      await resizeFilesystem(options.run, options.mountPath, step.sizeBytes);
      return { sizeBytes: step.sizeBytes, movedBytes, outcome: step.outcome };
    }
    if (step.kind === 'inspect') {
      counts = false;
      longestExtents.set(
        step.chunk.logicalStart,
        (await readLongestExtent(options.run, options.devicePath, step.chunk)) ?? 0,
      );
      continue;
    }
    if (movedBytes > budget) {
      await resizeFilesystem(options.run, options.mountPath, Math.max(end, options.stopAtBytes));
      return { sizeBytes: Math.max(end, options.stopAtBytes), movedBytes, outcome: 'budget-spent' as const };
    }

    if (step.kind === 'move' && step.why === 'resettle') failed.set(stepKey(step), step.roomBytes);
    try {
      await apply(options, layout, step);
    } catch (e) {
      if (!isOutOfSpace(e)) throw e;
      if (process.env.DBG) {
        console.log('   ENOSPC');
        if (process.env.DBG === '2') {
          const { execFileSync } = await import('node:child_process');
          console.log(
            execFileSync(
              'sh',
              [
                '-c',
                'dmesg | tail -45; cd /sys/fs/btrfs/' +
                  options.filesystemUUID +
                  '/allocation; grep . data/bytes* metadata/bytes* system/bytes* global* data/total_bytes metadata/total_bytes',
              ],
              { encoding: 'utf8' },
            ),
          );
        }
      }
      if (step.kind === 'drop' && drops++ < 8) {
        counts = false;
        await new Promise((r) => setTimeout(r, 5000));
        continue;
      }
      failed.set(stepKey(step), step.roomBytes);
      await unstick(options);
    }
    movedBytes += step.chunk.usedBytes;
    options.onProgress?.({ phase: step.kind, sizeBytes: layout.sizeBytes, movedBytes });
  }
}
export function draw(layout: Layout) {
  return layout.chunks
    .toSorted((a, b) => a.physicalStarts[0]! - b.physicalStarts[0]!)
    .map(
      (c) =>
        `      ${c.kind} ${c.physicalStarts.map((p) => p / 2 ** 20).join('/')} +${c.lengthBytes / 2 ** 20} used ${(c.usedBytes / 2 ** 20).toFixed(1)}`,
    )
    .join('\n');
}
async function apply({ run, mountPath }: CompactOptions, layout: Layout, step: MovingStep) {
  const { chunk } = step;
  if (step.kind === 'squeeze' || step.kind === 'tighten') return resizeFilesystem(run, mountPath, step.sizeBytes);
  if (step.kind === 'move') {
    const t = Math.max(256 * 2 ** 20, endOf(layout));
    if (t < layout.sizeBytes) await resizeFilesystem(run, mountPath, t);
    await resizeFilesystem(run, mountPath, Math.max(256 * 2 ** 20, step.sizeBytes));
  }
  await balanceChunk(run, mountPath, {
    kind: chunk.kind as 'data' | 'metadata',
    startBytes: chunk.logicalStart,
    endBytes: chunk.logicalStart + chunk.lengthBytes,
  });
}
async function unstick({ run, mountPath }: CompactOptions) {
  const path = `${mountPath}/.compact`;
  const c = (file: string, ...args: string[]) => run({ file, args, timeoutMs: 60_000 });
  try {
    await c('fallocate', '--length', '4096', '--', path);
    await syncFilesystem(run, mountPath);
  } catch (e) {
    if (process.env.DBG) console.log('unstick', e);
  }
  await c('rm', '-f', '--', path);
  await syncFilesystem(run, mountPath);
}

export async function spaceNeeded(t: CompactTarget) {
  const layout = await observeLayout(t);
  return { usedBytes: usedOnDisk(layout), neededBytes: neededBytes(layout) };
}

export async function observeLayout(t: CompactTarget): Promise<Layout> {
  for (let i = 0; ; i++) {
    await syncFilesystem(t.run, t.mountPath);
    try {
      const tree = await readChunkTree(t.run, t.devicePath);
      const usage = await readChunkUsage(t.run, t.devicePath, tree.chunks);
      const a = await readAllocation(t.filesystemUUID);
      if (a === undefined) throw new StorageError('not-found', 'gone');
      const layout: Layout = {
        sizeBytes: tree.sizeBytes,
        capacityBytes: Number(await readFile(`/sys/class/block/${basename(t.devicePath)}/size`, 'utf8')) * 512,
        chunks: tree.chunks.map((c) => ({ ...c, usedBytes: usage.get(c.logicalStart) ?? 0 })),
        globalReserveBytes: a.globalReserveBytes,
      };
      for (const k of ['data', 'metadata', 'system'] as const)
        if (totalOf(layout, k) !== a[k].totalBytes)
          throw new TypeError(`stale ${k} ${totalOf(layout, k)} ${a[k].totalBytes}`);
      return layout;
    } catch (e) {
      if (!(e instanceof TypeError) || i > 8) throw e;
      if (process.env.DBG) console.log('retry', e.message);
    }
  }
}
async function endLeftovers(o: CompactTarget) {
  const op = await exclusiveOperation(o.filesystemUUID);
  if (op?.startsWith('balance')) await cancelBalance(o.run, o.mountPath);
  if (op === 'resize') await cancelResize(o.run, o.mountPath);
}
