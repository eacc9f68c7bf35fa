import { truncateSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { conditionOf, type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { holdMount, mountsBelow, sh } from './host-view.ts';

const MiB = 1024 ** 2;
const SAID_WITHIN_MS = 30_000;
let lab: Lab;
let snapshots: SnapshotKit;

beforeAll(async () => {
  lab = await startLab();
  snapshots = snapshotKit(lab);
  await lab.startAgent('node-a', { flags: ['--watch-interval-seconds=2'] });
  for (const name of ['held', 'cut', 'damaged']) await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a' });
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
      await lab.withReason('held', 'Ready', 'ReadOnlyNeedsRestart');
      // As long as three of its passes need.
      await sleep(7_000);
      expect(mountsBelow(mountPath)).toEqual(mounts);
    }
    await lab.ready('held');
  });
});

describe('LoopbackVolume: an image that is cut or damaged', () => {
  it.each([128, 0])(
    'F47 LoopbackVolume: an image cut to %i MiB under its mount is said within 30 s',
    async (mebibytes) => {
      const volume = await lab.volumeThat('cut', ({ status }) => status.mountPath !== undefined);
      truncateSync(volume.status.imagePath ?? '', mebibytes * MiB);
      const said = await lab.withReason('cut', 'Damaged', 'ImageTruncated', SAID_WITHIN_MS);
      expect(conditionOf(said, 'Ready')).toMatchObject({ status: 'False', reason: 'ImageTruncated' });
    },
  );

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

  it('F50 LoopbackVolume: one whose record can not be read, and that keeps its image, waits for no Snapshot either', async () => {
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
