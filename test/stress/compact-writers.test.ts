import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { balanceChunk } from '../../src/host/btrfs-balance.ts';
import type { Run } from '../../src/host/command.ts';
import { compactFilesystem, spaceNeeded } from '../../src/storage/compact.ts';
import { CompactHistory } from '../../src/storage/compact-history.ts';
import type { UsedChunk } from '../../src/storage/compact-layout.ts';
import { isWrittenTo, observeLayout } from '../../src/storage/compact-observe.ts';
import { decideStep } from '../../src/storage/compact-plan.ts';
import { chaosSeed } from '../crash/chaos-seed.ts';
import { type Filesystem, halfFilled, isReadOnly, MiB, mountFilesystem } from '../integration/compact-filesystem.ts';
import { sh } from '../integration/recovery/host-view.ts';
import { startStubbornWriter } from '../integration/stubborn-writer.ts';
import { writeFiles } from '../integration/volumes/files.ts';

const GiB = 1024 * MiB;

describe('compactFilesystem beside writers', () => {
  it('A21 compactFilesystem: while files are written it does what is safe, and the rest when it is quiet; a writer may be refused for a moment, not for long', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: GiB });
    const files = halfFilled(filesystem);
    const busy = path.join(filesystem.mountPath, 'busy');
    mkdirSync(busy);
    // docs/operations.md: near its end a shrink may leave no room for an instant.
    const script =
      'i=0; failed=0; while [ "$failed" -lt 50 ]; do i=$((i + 1)); if head -c 300000 /dev/urandom > "$0/$((i % 40))"; then failed=0; else failed=$((failed + 1)); sleep 0.2; fi; done';
    const writer = spawn('sh', ['-c', script, busy], { stdio: 'ignore' });
    const { neededBytes } = await spaceNeeded(filesystem.target);
    const options = { ...filesystem.target, stopAtBytes: neededBytes + 96 * MiB };
    const { sizeBytes, outcome } = await compactFilesystem(options);
    expect(writer.exitCode).toBeNull();
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    expect([files.damaged(filesystem.mountPath), isReadOnly(filesystem)]).toEqual([[], false]);
    // How far it gets beside a writer is chance: moving metadata waits for a quiet moment.
    // While it waits it may keep some space more, for metadata to move to.
    const bound = outcome === 'held-up' ? 1.1 * GiB : 1.3 * neededBytes + 256 * MiB;
    expect([filesystem.sizeBytes(), sizeBytes <= bound]).toEqual([sizeBytes, true]);
    expect((await compactFilesystem(options)).sizeBytes).toBeLessThan(1.3 * neededBytes + 256 * MiB);
    expect([files.damaged(filesystem.mountPath), isReadOnly(filesystem)]).toEqual([[], false]);
  }, 300_000);

  it('A21 isWrittenTo: sees someone who writes all the time whenever it looks, and the quiet afterwards', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: 300 * MiB });
    const often = "setInterval(() => require('node:fs').writeFileSync(process.argv[1], 'x'), 10)";
    const writer = spawn(process.execPath, ['-e', often, path.join(filesystem.mountPath, 'file')], { stdio: 'ignore' });
    const looks: boolean[] = [];
    while (looks.length < 5) looks.push(await isWrittenTo(filesystem.target));
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    looks.push(await isWrittenTo(filesystem.target));
    expect(looks).toEqual([true, true, true, true, true, false]);
  }, 60_000);

  it('A21 compactFilesystem: who gets space as soon as the filesystem has another size ends the step that would move metadata there', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: 576 * MiB });
    const { target } = filesystem;
    await endInMetadata(filesystem);
    const goal = { stopAtBytes: 380 * MiB, mostBytes: 576 * MiB, exact: true };
    const step = decideStep(await observeLayout(target), goal, new CompactHistory());
    expect(step).toMatchObject({ kind: 'lower', alone: true });

    const begun = filesystem.commands.length;
    const { signal, abort } = abortable();
    let resizes = 0;
    const run: Run = async (command) => {
      const result = await target.run(command);
      if (command.args[1] === 'resize' && ++resizes === 2) allocate(filesystem, 'late', 60);
      return result;
    };
    const running = compactFilesystem({ ...target, run, ...goal, signal, onProgress: abort });
    await expect(running).rejects.toThrow('one step is enough');
    expect(resizes).toBe(2);
    expect(filesystem.commands.slice(begun).filter((line) => line.includes('balance'))).toEqual([]);
    expect(isReadOnly(filesystem)).toBe(false);
  }, 60_000);

  it('A21 compactFilesystem: beside someone who is refused again and again, nothing that was on disk is lost', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: 400 * MiB });
    const { mountPath, target } = filesystem;
    const files = writeFiles(mountPath, 'files', 10, 4);
    for (let number = 0; number < 28; number++) allocate(filesystem, `filler${number}`, 10);
    await using writer = startStubbornWriter(path.join(mountPath, 'log'), { blockBytes: 12 * MiB, seed: chaosSeed() });
    let refusedMeanwhile = 0;
    for (let turn = 0; turn < 3; turn++) {
      const refusals = writer.refusals.length;
      await expect.poll(() => writer.refusals.length, { timeout: 30_000 }).toBeGreaterThan(refusals + 1);
      for (let number = turn; number < 28; number += 7) rmSync(path.join(mountPath, `filler${number}`));
      const before = writer.refusals.length;
      const { sizeBytes, outcome } = await compactFilesystem({ ...target, stopAtBytes: 256 * MiB });
      console.log(`${outcome} at ${sizeBytes / MiB} MiB with ${writer.lengths.length} blocks appended`);
      expect([isReadOnly(filesystem), filesystem.sizeBytes()]).toEqual([false, sizeBytes]);
      refusedMeanwhile += writer.refusals.length - before;
    }
    expect(refusedMeanwhile).toBeGreaterThan(0);
    expect(new Set(writer.refusals)).toEqual(new Set(['ENOSPC']));
    expect([writer.hasAll(), files.damaged(mountPath)]).toEqual([true, []]);
  }, 60_000);
});

/** Metadata comes last, and the hole below takes either it or a chunk for data. */
async function endInMetadata(filesystem: Filesystem): Promise<void> {
  const { target, mountPath } = filesystem;
  for (let number = 0; number < 26; number++) allocate(filesystem, `data${number}`, 16);
  const many = path.join(mountPath, 'many');
  mkdirSync(many);
  for (let number = 0; number < 2_000; number++) writeFileSync(path.join(many, String(number)), randomBytes(1700));
  sh('btrfs', 'filesystem', 'sync', mountPath);
  const move = async (kind: 'data' | 'metadata', pick: (chunk: UsedChunk) => boolean) => {
    const { chunks } = await observeLayout(target);
    for (const { logicalStart, lengthBytes } of chunks.filter((chunk) => chunk.kind === kind && pick(chunk)))
      await balanceChunk(target.run, mountPath, {
        kind,
        startBytes: logicalStart,
        endBytes: logicalStart + lengthBytes,
      });
  };
  await move('metadata', (chunk) => chunk.lengthBytes < 16 * MiB);
  for (let number = 0; number < 5; number++) rmSync(path.join(mountPath, `data${number}`));
  sh('btrfs', 'filesystem', 'sync', mountPath);
  await move('data', (chunk) => chunk.usedBytes < 12 * MiB);
}

function allocate({ mountPath }: Filesystem, name: string, mebibytes: number): void {
  sh('fallocate', `--length=${mebibytes}MiB`, path.join(mountPath, name));
}

function abortable() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error('one step is enough')) };
}
