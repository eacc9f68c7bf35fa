import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { exclusiveOperation } from '../../src/host/btrfs-balance.ts';
import { observeSpace } from '../../src/host/space-info.ts';
import { compactFilesystem, spaceNeeded } from '../../src/storage/compact.ts';
import { liveAllocation, observeLayout } from '../../src/storage/compact-observe.ts';
import { createMore, fillNames } from '../builders/fills.ts';
import { chaosSeed } from '../crash/chaos-seed.ts';
import { compactFill, halfFilled, isReadOnly, MiB, mountFilesystem, SMALLEST } from './compact-filesystem.ts';
import { sh } from './recovery/host-view.ts';
import { writeFiles } from './volumes/files.ts';

const GiB = 1024 * MiB;
/** Other kinds in each run; `make chaos` has 20. */
const FILLS = 2;

/** Where it doesn't matter how small it gets; chunks, files and bytes are half of those in 1 GiB. */
const HALF_GIB = 512 * MiB;

describe('compactFilesystem', () => {
  it('A17 compactFilesystem: a near-empty filesystem of 1 GiB ends at exactly 256 MiB, and the next run changes nothing', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: GiB });
    writeFileSync(path.join(filesystem.mountPath, 'file'), 'small');
    const result = await compactFilesystem({ ...filesystem.target, stopAtBytes: 0 });
    expect([result.sizeBytes, result.outcome, filesystem.sizeBytes()]).toEqual([SMALLEST, 'reached', 268_435_456]);
    const before = filesystem.commands.length;
    await compactFilesystem({ ...filesystem.target, stopAtBytes: 0 });
    expect(filesystem.commands.slice(before).filter((line) => /resize|balance/.test(line))).toEqual([]);
  });

  it(`A24 compactFilesystem: ${FILLS} random fills end within the bounds, and files can be created`, async () => {
    const seed = chaosSeed();
    const names = fillNames.filter((name) => name !== 'big');
    const from = seed % names.length;
    for (const [index, fill] of [...names, ...names].slice(from, from + FILLS).entries()) {
      const metadataProfile = index % 3 === 2 ? 'dup' : 'single';
      const { line, bounded, belowMinDevSize } = await compactFill(fill, seed + index, {
        sizeBytes: GiB,
        metadataProfile,
      });
      console.log(line);
      expect([bounded, belowMinDevSize], line).toEqual([true, true]);
    }
  }, 600_000);

  it('A24 compactFilesystem: extents longer than the chunks of a small filesystem do not keep it larger than the bound', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: 2 * GiB });
    const { target, mountPath } = filesystem;
    const write = (name: string, bytes: number) => {
      writeFileSync(path.join(mountPath, name), randomBytes(bytes));
      sh('btrfs', 'filesystem', 'sync', mountPath);
    };
    for (const name of ['one', 'gone', 'two']) write(name, 100 * MiB);
    rmSync(path.join(mountPath, 'gone'));
    write('half', 50 * MiB);
    const { neededBytes } = await spaceNeeded(target);
    const { sizeBytes } = await compactFilesystem({ ...target, stopAtBytes: neededBytes + 96 * MiB });
    const { usedBytes } = await spaceNeeded(target);
    expect(sizeBytes).toBeLessThanOrEqual(1.3 * usedBytes + 256 * MiB);
    createMore(mountPath);
  });

  it.each(['single', 'dup'] as const)(
    'A24 compactFilesystem: metadata stays %s, files stay what they are',
    async (profile) => {
      await using filesystem = mountFilesystem({ sizeBytes: HALF_GIB, metadataProfile: profile });
      const files = halfFilled(filesystem);
      const { neededBytes } = await spaceNeeded(filesystem.target);
      await compactFilesystem({ ...filesystem.target, stopAtBytes: neededBytes + 96 * MiB });
      expect(files.damaged(filesystem.mountPath)).toEqual([]);
      const { metadata, system } = await liveAllocation(filesystem.target.filesystemUUID);
      const copies = profile === 'dup' ? 2 : 1;
      expect([metadata.diskTotalBytes / metadata.totalBytes, system.diskTotalBytes / system.totalBytes]).toEqual([
        copies,
        copies,
      ]);
    },
  );

  it('A19 compactFilesystem: aborted at any step it leaves nothing running, and the next run goes on', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: HALF_GIB });
    const files = halfFilled(filesystem);
    const { neededBytes } = await spaceNeeded(filesystem.target);
    const stopAtBytes = neededBytes + 96 * MiB;
    let aborts = 0;
    for (const afterMs of [50, 150, 300, 600]) {
      const signal = AbortSignal.timeout(afterMs);
      const running = compactFilesystem({ ...filesystem.targetWith(signal), stopAtBytes, signal });
      await running.catch((error: unknown) => {
        if (!signal.aborted) throw error;
        aborts++;
      });
      await expect.poll(() => exclusiveOperation(filesystem.target.filesystemUUID)).toBe('none');
    }
    expect(aborts).toBeGreaterThan(0);
    const { outcome } = await compactFilesystem({ ...filesystem.target, stopAtBytes });
    expect(outcome).not.toBe('budget-spent');
    expect(files.damaged(filesystem.mountPath)).toEqual([]);
    createMore(filesystem.mountPath);
  });

  it('A19 compactFilesystem: ends the balance that a killed agent left, running or paused', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: HALF_GIB });
    halfFilled(filesystem);
    const { mountPath, target } = filesystem;
    for (const left of ['balance', 'balance paused']) {
      const balance = spawn('btrfs', ['balance', 'start', '--full-balance', mountPath], { stdio: 'ignore' });
      await expect
        .poll(() => exclusiveOperation(target.filesystemUUID), { interval: 5, timeout: 20_000 })
        .toBe('balance');
      if (left === 'balance paused') {
        sh('btrfs', 'balance', 'pause', mountPath);
        await once(balance, 'exit');
      }
      expect(await exclusiveOperation(target.filesystemUUID)).toBe(left);
      const { sizeBytes } = await compactFilesystem({ ...target, stopAtBytes: 450 * MiB });
      expect(await exclusiveOperation(target.filesystemUUID)).toBe('none');
      // What a full balance left at the end may keep it a little above what was asked for.
      expect(filesystem.sizeBytes()).toBe(sizeBytes);
      expect(sizeBytes).toBeLessThan(HALF_GIB);
      sh('btrfs', 'filesystem', 'resize', String(HALF_GIB), mountPath);
    }
  });

  it('A22 compactFilesystem: asked for less than the content needs, it stays writable and says what it reached', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: HALF_GIB });
    writeFiles(filesystem.mountPath, 'files', 30, 10);
    const { usedBytes, neededBytes } = await spaceNeeded(filesystem.target);
    const { sizeBytes, outcome } = await compactFilesystem({ ...filesystem.target, stopAtBytes: SMALLEST });
    expect(['near-enough', 'as-small-as-it-gets']).toContain(outcome);
    expect(neededBytes).toBeGreaterThan(usedBytes);
    expect(sizeBytes).toBeGreaterThanOrEqual(neededBytes);
    expect(isReadOnly(filesystem)).toBe(false);
    createMore(filesystem.mountPath);
  });
});

describe('observeLayout', () => {
  it("observeLayout: is current after every change, though the device is read behind the kernel's back", async () => {
    await using filesystem = mountFilesystem({ sizeBytes: GiB });
    const { target, mountPath } = filesystem;
    for (let turn = 0; turn < 5; turn++) {
      writeFileSync(path.join(mountPath, `file${turn}`), Buffer.alloc(20 * MiB, `${turn}${Math.random()}`));
      sh('btrfs', 'filesystem', 'resize', String((600 + 10 * turn) * MiB), mountPath);
      const layout = await observeLayout(target);
      const { data } = await liveAllocation(target.filesystemUUID);
      const used = layout.chunks
        .filter((chunk) => chunk.kind === 'data')
        .reduce((sum, chunk) => sum + chunk.usedBytes, 0);
      expect([layout.sizeBytes, used]).toEqual([(600 + 10 * turn) * MiB, data.usedBytes]);
    }
  });
});

describe('observeSpace', () => {
  it('B24 observeSpace: says what statfs says is free', async () => {
    await using filesystem = mountFilesystem({ sizeBytes: HALF_GIB, metadataProfile: 'dup' });
    halfFilled(filesystem);
    const free = Number(sh('stat', '--file-system', '--format=%a', filesystem.mountPath)) * 4096;
    const space = await observeSpace(filesystem.target.filesystemUUID, filesystem.sizeBytes());
    expect(Math.abs((space?.freeBytes ?? 0) - free)).toBeLessThan(2 * MiB);
  });
});
