import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { type AgentConfig, loadConfig } from '../../../src/config.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { holdMount, mountExt4, mountsBelow, sh } from './host-view.ts';

const MiB = 1024 ** 2;
/** An agent that never looks at usage while a test runs: what it says within 30 s comes from the looks between. */
const LOOKS = ['--watch-interval-seconds=1', '--usage-interval-seconds=3600'];
let lab: Lab;
let onDisk: OperatorProcess;
let agent: OperatorProcess;
let snapshots: SnapshotKit;

beforeAll(async () => {
  lab = await startLab();
  snapshots = snapshotKit(lab);
  agent = await lab.startAgent('node-a', { flags: ['--watch-interval-seconds=2'] });
  const disk = mountExt4(lab.dir, 'disk', 2048);
  onDisk = await lab.startAgent('node-disk', { flags: LOOKS, rootPath: path.join(disk.mountPath, 'root') });
  for (const name of ['held', 'damaged']) await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a' });
  for (const name of ['half', 'nothing', 'failing']) {
    await lab.createVolume(name, { size: '256Mi', nodeName: 'node-disk', compression: 'none' });
  }
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('LoopbackVolume: what it can not write', () => {
  it('F18 LoopbackVolume: one that is read-only and held by others keeps its mount, and is healed when they have gone', async () => {
    const { status } = await lab.ready('held');
    const { mountPath = '' } = status;
    {
      await using _holder = await holdMount(mountPath);
      sh('mount', '-o', 'remount,ro', mountPath);
      const mounts = mountsBelow(mountPath);
      // Ids of mounts are given out again.
      const unmounts = () => agent.log().split('\n').filter(isUnmountOf(mountPath)).length;
      const before = unmounts();
      await lab.withReason('held', 'Ready', 'ReadOnlyNeedsRestart');
      // As long as three of its passes need.
      await sleep(7_000);
      expect([mountsBelow(mountPath), unmounts()]).toEqual([mounts, before]);
    }
    await lab.ready('held');
  });
});

const isUnmountOf = (mountPath: string) => (line: string) =>
  line.includes('"command":"umount"') && line.includes(mountPath);

/** Nobody can write to the image of a volume, as on a disk that fails: not even who has it open (ext4). */
function failWrites({ status: { imagePath = '' } }: LoopbackVolume) {
  sh('chattr', '+i', imagePath);
  return { [Symbol.dispose]: () => void sh('chattr', '-i', imagePath) };
}

/** Write errors that btrfs counted in this mount. */
function writeErrorsOf({ status: { filesystemUUID } }: LoopbackVolume): number {
  const text = readFileSync(`/sys/fs/btrfs/${filesystemUUID}/devinfo/1/error_stats`, 'utf8');
  return Number(/write_errs (\d+)/.exec(text)?.[1]);
}

const mountOf = ({ status: { mountPath = '' } }: LoopbackVolume) => mountsBelow(mountPath)[0];
const isReadOnly = ({ status: { mountPath = '' } }: LoopbackVolume) =>
  / ro[, ]/.test(sh('grep', ` ${mountPath} `, '/proc/self/mountinfo'));

describe('LoopbackVolume: what is seen between two looks at usage', () => {
  it('F45 F47 F49 agent: as it is installed looks come often enough to say within 15 s what one look sees', () => {
    const { watchIntervalSeconds } = loadConfig(['agent', '--node-name=x'], {}) as AgentConfig;
    expect(watchIntervalSeconds).toBeLessThan(10);
  });

  it('F49 LoopbackVolume: one whose writes fail while btrfs stays writable says what fails and since when', async () => {
    // Afterwards nothing else asks for a look at it.
    const [volume] = await Promise.all([lab.ready('failing'), lab.ready('half'), lab.ready('nothing')]);
    const file = path.join(dataPathOf(volume), 'file');
    writeFileSync(file, '');
    sh('chattr', '+C', file); // written in place: without metadata, which would end in a read-only file system
    writeFileSync(file, Buffer.alloc(MiB));
    sh('btrfs', 'filesystem', 'sync', file);
    const before = new Date();
    {
      using _failing = failWrites(volume);
      expect(() =>
        sh('dd', 'if=/dev/zero', `of=${file}`, 'bs=4096', 'count=1', 'oflag=direct', 'conv=notrunc'),
      ).toThrow(/Input\/output error/);
    }
    const said = await lab.withReason('failing', 'Damaged', 'DeviceErrors');
    const { message = '' } = conditionOf(said, 'Damaged') ?? {};
    const [, since = '', kinds] = /since (\S+) \(([^)]*)\)/.exec(message) ?? [];
    expect(kinds, message).toBe('write');
    expect(Date.parse(since), message).toBeGreaterThanOrEqual(before.getTime() - 1000);
    expect(isReadOnly(said)).toBe(false);
  });

  it('F49 LoopbackVolume: errors are added up over mounts, and one that fails again after it was mounted anew says so', async () => {
    const volume = await lab.ready('failing');
    /** Until btrfs gives up. */
    const fail = () =>
      waitFor(
        () => {
          writeFileSync(path.join(dataPathOf(volume), 'small'), 'content');
          try {
            sh('btrfs', 'filesystem', 'sync', volume.status.mountPath ?? '');
          } catch {
            // what the mount says counts
          }
          return isReadOnly(volume) ? writeErrorsOf(volume) : undefined;
        },
        { what: 'read-only volume' },
      );
    using _failing = failWrites(volume);
    const first = mountOf(volume);
    const before = await fail();
    await waitFor(() => mountOf(volume) !== undefined && mountOf(volume) !== first, { what: 'mount anew' });
    expect(writeErrorsOf(volume)).toBeLessThan(before);
    const after = await fail();
    const again = (found: LoopbackVolume) => /again and again since/.test(conditionOf(found, 'Ready')?.message ?? '');
    const said = await lab.volumeThat('failing', again);
    expect(conditionOf(said, 'Ready')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('its device fails (write errors)'),
    });
    const metrics = await (await fetch(new URL('/metrics', await onDisk.metricsUrl()))).text();
    const [, counted] = /^btrfs_device_errors_total\{.*name="failing",kind="write"\} (\d+)/m.exec(metrics) ?? [];
    expect(Number(counted), metrics).toBeGreaterThanOrEqual(before + after);
  });

  it.each([
    ['half', 128],
    ['nothing', 0],
  ])('F47 LoopbackVolume: an image that is cut to %s under its mount is said', async (name, mebibytes) => {
    const volume = await lab.ready(name);
    truncateSync(volume.status.imagePath ?? '', mebibytes * MiB);
    const said = await lab.withReason(name, 'Damaged', 'ImageTruncated');
    expect(conditionOf(said, 'Ready')).toMatchObject({ status: 'False', reason: 'ImageTruncated' });
  });
});

describe('LoopbackVolume: an image that is damaged', () => {
  it('F50 LoopbackVolume: a damaged one is deleted with the Snapshots in it, whichever is asked for first', async () => {
    const volume = await lab.ready('damaged');
    await snapshots.create('inside', 'damaged');
    await snapshots.ready('inside');
    await lab.change('damaged', { mounted: false });
    await lab.withReason('damaged', 'Ready', 'Unmounted');
    sh('cp', '--sparse=always', volume.status.imagePath ?? '', path.join(lab.dir, 'copy.img'));
    sh('dd', 'if=/dev/zero', `of=${volume.status.imagePath}`, 'bs=4096', 'seek=16', 'count=1', 'conv=notrunc');
    await lab.change('damaged', { mounted: true });
    await lab.withReason('damaged', 'Ready', 'FilesystemDamaged');
    // Put back in its place, byte by byte.
    sh(
      'dd',
      `if=${path.join(lab.dir, 'copy.img')}`,
      `of=${volume.status.imagePath}`,
      'bs=4096',
      'seek=16',
      'skip=16',
      'count=1',
      'conv=notrunc',
    );
    await lab.ready('damaged', 10_000);
    await lab.change('damaged', { mounted: false });
    await lab.withReason('damaged', 'Ready', 'Unmounted');
    sh('dd', 'if=/dev/zero', `of=${volume.status.imagePath}`, 'bs=4096', 'seek=16', 'count=1', 'conv=notrunc');
    await lab.change('damaged', { mounted: true });
    await lab.withReason('damaged', 'Ready', 'FilesystemDamaged');
    await snapshots.client.delete('default/inside');
    await snapshots.withReason('inside', 'Removed', 'VolumeNotReady');
    await lab.volumes.delete('default/damaged');
    await snapshots.gone('inside');
    await lab.volumeGone('damaged');
  });

  it('F50 LoopbackVolume: one that is unmounted and keeps its image goes with the Snapshots that were asked to go first', async () => {
    await lab.createVolume('kept', { size: '256Mi', nodeName: 'node-a', deletionPolicy: 'Retain' });
    await lab.ready('kept');
    await snapshots.create('in-kept', 'kept');
    await snapshots.ready('in-kept');
    await lab.change('kept', { mounted: false });
    await lab.withReason('kept', 'Ready', 'Unmounted');
    await snapshots.client.delete('default/in-kept');
    await lab.volumes.delete('default/kept');
    await snapshots.gone('in-kept');
    await lab.volumeGone('kept');
  });
});
