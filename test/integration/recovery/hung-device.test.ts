import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { createStorage } from '../../../src/storage/context.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { type Ext4Loop, mountExt4, sh } from './host-view.ts';

/** The usual time between two looks (read-only.test.ts), and none at usage: what is said comes from the former. */
const FLAGS = ['--watch-interval-seconds=5', '--usage-interval-seconds=3600'];
const SAID_WITHIN_MS = 15_000;
let lab: Lab;
let snapshots: SnapshotKit;
let disk: Ext4Loop;

beforeAll(async () => {
  lab = await startLab();
  snapshots = snapshotKit(lab);
  disk = mountExt4(lab.dir, 'disk', 512);
  await lab.startAgent('node-a', { flags: FLAGS });
  await lab.startAgent('node-disk', { flags: FLAGS, rootPath: path.join(disk.mountPath, 'root') });
  await lab.createVolume('frozen', { size: '256Mi', nodeName: 'node-a' });
  await lab.createVolume('well', { size: '256Mi', nodeName: 'node-a' });
  await lab.createVolume('on-disk', { size: '256Mi', nodeName: 'node-disk' });
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Processes whose arguments name a volume. */
function processesIn({ metadata: { uid } }: LoopbackVolume): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => line.includes(uid) && !line.includes('main.ts'));
}

/** The most processes that were in a volume at once, until told to stop. */
function watchProcesses(volume: LoopbackVolume) {
  let most: string[] = [];
  const timer = setInterval(() => {
    const now = processesIn(volume);
    if (now.length > most.length) most = now;
  }, 50);
  return { most: () => most, [Symbol.dispose]: () => clearInterval(timer) };
}

const isStuck = (volume: LoopbackVolume) => conditionOf(volume, 'Ready')?.reason === 'CommandStuck';

describe('LoopbackVolume: its device hangs', () => {
  it('F45 LoopbackVolume: one in which commands hang says so within 15 s, holds four processes at most, and goes on when it is back', async () => {
    const volume = await lab.ready('frozen');
    await lab.ready('well');
    const names = Array.from({ length: 24 }, (_, number) => `waits-${number}`);
    sh('fsfreeze', '--freeze', volume.status.mountPath ?? '');
    try {
      using processes = watchProcesses(volume);
      await Promise.all(names.map((name) => snapshots.create(name, 'frozen')));
      const said = await lab.volumeThat('frozen', isStuck, SAID_WITHIN_MS);
      expect(conditionOf(said, 'Ready')).toMatchObject({ status: 'Unknown', message: expect.stringMatching(/hang/) });
      await snapshots.create('beside', 'well');
      await snapshots.ready('beside');
      expect(processes.most().length, processes.most().join('\n')).toBeLessThanOrEqual(4);
    } finally {
      sh('fsfreeze', '--unfreeze', volume.status.mountPath ?? '');
    }
    await Promise.all(names.map((name) => snapshots.ready(name, 15_000)));
    await lab.ready('frozen');
  });

  it('F45 LoopbackVolume: one in which only its pods work says within 15 s that its device does not answer', async () => {
    const file = path.join(dataPathOf(await lab.ready('on-disk')), 'file');
    sh('fsfreeze', '--freeze', disk.mountPath);
    const writer = spawn('dd', ['if=/dev/zero', `of=${file}`, 'bs=4096', 'count=1', 'oflag=sync']);
    const written = once(writer, 'exit');
    try {
      await lab.volumeThat('on-disk', isStuck, SAID_WITHIN_MS);
    } finally {
      sh('fsfreeze', '--unfreeze', disk.mountPath);
    }
    expect(await written).toEqual([0, null]);
    await lab.ready('on-disk');
  });
});

describe('fences', () => {
  it('F48 storage: while a command of an earlier agent hangs in the tree of a volume nobody else starts one there', async () => {
    const volume = await lab.ready('frozen');
    const { mountPath = '' } = volume.status;
    const { uid } = volume.metadata;
    const options = { rootPath: lab.rootPath('node-a'), commandPath: '/usr/sbin:/usr/bin:/sbin:/bin' };
    const earlier = createStorage({ ...options, sectorSize: 4096, directIO: true });
    const later = createStorage({ ...options, sectorSize: 4096, directIO: true });
    await lab.ready('frozen');
    sh('fsfreeze', '--freeze', mountPath);
    const touch = { file: 'touch', args: [path.join(mountPath, 'staging')], timeoutMs: 500 };
    try {
      // The first gives up its command, which hangs: what is told of it is that it has not ended.
      const first = waitFor(
        async () => (await earlier.withTree(uid, ({ run }) => run(touch).catch((error) => error))) as Error,
        { what: 'turn' },
      );
      expect(await first).toMatchObject({ failure: { stillRunning: true } });
      for (const storage of [earlier, later]) {
        const second = storage.withTree(uid, ({ run }) => run({ ...touch, file: 'true' }));
        await expect(second).rejects.toMatchObject({ reason: expect.stringMatching(/CommandStuck|VolumeNotReady/) });
      }
    } finally {
      sh('fsfreeze', '--unfreeze', mountPath);
    }
    await waitFor(async () => (await later.withTree(uid, ({ run }) => run({ ...touch, file: 'true' }))) !== undefined, {
      what: 'turn',
    });
    await lab.ready('frozen');
  });
});
