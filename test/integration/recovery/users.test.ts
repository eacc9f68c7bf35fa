import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { type Ext4Loop, holdMount, isLive, loopsOf, mountExt4, mountsBelow, sh } from './host-view.ts';
import { createPod, deletePods } from './pods.ts';

let lab: Lab;
let foreign: Ext4Loop;
let foreignLoop: { readonly imagePath: string; readonly loopPath: string };

beforeAll(async () => {
  lab = await startLab();
  foreign = mountExt4(lab.dir, 'foreign', 16);
  writeFileSync(path.join(foreign.mountPath, 'file'), 'foreign');
  const imagePath = path.join(lab.dir, 'attached.img');
  sh('truncate', '--size=16M', imagePath);
  foreignLoop = { imagePath, loopPath: sh('losetup', '--find', '--show', imagePath) };
  await lab.startAgent('node-a');
});
afterAll(async () => {
  foreign?.[Symbol.dispose]();
  if (foreignLoop !== undefined) sh('losetup', '--detach', foreignLoop.loopPath);
  await lab?.[Symbol.asyncDispose]();
});
beforeEach(() => lab.showLogsOnFailure());

async function readyVolume(name: string, spec = {}): Promise<LoopbackVolume & { readonly imagePath: string }> {
  await lab.createVolume(name, { size: '256Mi', nodeName: 'node-a', ...spec });
  const volume = await lab.ready(name);
  writeFileSync(path.join(dataPathOf(volume), 'file'), name);
  return { ...volume, imagePath: volume.status.imagePath ?? '' };
}

/** A process with a file of the volume open. */
async function openFileIn(volume: LoopbackVolume): Promise<() => void> {
  const script = `exec 3<${path.join(dataPathOf(volume), 'file')}; echo open; exec sleep 600`;
  const user = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => user.stdout.once('data', resolve));
  return () => user.kill('SIGKILL');
}

describe('LoopbackVolume: used by others', () => {
  it('C16 LoopbackVolume: deletion says StillInUse while only another mount namespace has it, and goes on by itself', async () => {
    const { imagePath, status } = await readyVolume('held');
    const loops = loopsOf(imagePath);
    await using holder = await holdMount(status.mountPath ?? '');
    await lab.volumes.delete('default/held');
    const waiting = await lab.withReason('held', 'Removed', 'StillInUse');
    expect(conditionOf(waiting, 'Removed')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('another mount namespace'),
    });
    expect([loopsOf(imagePath), statSync(imagePath).size]).toEqual([loops, 256 * 1024 ** 2]);
    expect(sh('losetup', '--noheadings', '--output', 'AUTOCLEAR', ...loops)).toBe('0');
    await holder.end();
    await lab.volumeGone('held');
    expect([existsSync(imagePath), isLive(status.filesystemUUID)]).toEqual([false, false]);
    expect(sh('losetup', '--list', '--noheadings', '--output', 'BACK-FILE')).not.toContain(imagePath);
  });

  it('C16 LoopbackVolume: mounted: false says StillInUse likewise, and mounted again it has the same loop device', async () => {
    const { imagePath, status } = await readyVolume('unmounted');
    const loops = loopsOf(imagePath);
    await using holder = await holdMount(status.mountPath ?? '');
    await lab.change('unmounted', { mounted: false });
    await lab.withReason('unmounted', 'Ready', 'StillInUse');
    expect(loopsOf(imagePath)).toEqual(loops);
    await lab.change('unmounted', { mounted: true });
    const again = await lab.ready('unmounted');
    expect([loopsOf(imagePath), again.status.loopDevice]).toEqual([loops, loops[0]]);
    expect(readFileSync(path.join(dataPathOf(again), 'file'), 'utf8')).toBe('unmounted');
    await lab.change('unmounted', { mounted: false });
    await lab.withReason('unmounted', 'Ready', 'StillInUse');
    await holder.end();
    const down = await lab.withReason('unmounted', 'Ready', 'Unmounted');
    expect([loopsOf(imagePath), down.status.mountPath]).toEqual([[], undefined]);
  });

  it('C16 LoopbackVolume: with an open file deletion and mounted: false say InUse, and nothing changes until it is closed', async () => {
    const volume = await readyVolume('opened');
    const { imagePath, status } = volume;
    const before = [...loopsOf(imagePath), ...mountsBelow(status.mountPath ?? '')];
    const close = await openFileIn(volume);
    await lab.change('opened', { mounted: false });
    await lab.withReason('opened', 'Ready', 'InUse');
    await lab.volumes.delete('default/opened');
    await lab.withReason('opened', 'Removed', 'InUse');
    expect([...loopsOf(imagePath), ...mountsBelow(status.mountPath ?? '')]).toEqual(before);
    close();
    await lab.volumeGone('opened');
    expect(existsSync(imagePath)).toBe(false);
  });

  it('C16 LoopbackVolume: a loop device attached to its image by hand is reported, and neither it nor the image goes', async () => {
    const { imagePath } = await readyVolume('twice');
    const byHand = sh('losetup', '--find', '--show', imagePath);
    await lab.volumes.delete('default/twice');
    const waiting = await lab.withReason('twice', 'Removed', 'StillInUse');
    expect(conditionOf(waiting, 'Removed')?.message).toContain(byHand);
    expect(loopsOf(imagePath)).toEqual([byHand]);
    sh('losetup', '--detach', byHand);
    await lab.volumeGone('twice');
    expect(existsSync(imagePath)).toBe(false);
  });

  it('C23 LoopbackVolume: deletion waits for pods, HasDependents naming ten of twelve, and converges when they go', async () => {
    const volume = await readyVolume('with-pods');
    const pods = Array.from({ length: 12 }, (_, index) => `pod-${String(index).padStart(2, '0')}`);
    await Promise.all(pods.map((name) => createPod(lab, name, dataPathOf(volume))));
    await createPod(lab, 'elsewhere', '/srv');
    await lab.volumes.delete('default/with-pods');
    const waiting = await lab.withReason('with-pods', 'Removed', 'HasDependents');
    const named = conditionOf(waiting, 'Removed')?.message.match(/default\/[-a-z0-9]+/g);
    expect(named).toEqual(pods.slice(0, 10).map((name) => `default/${name}`));
    expect(existsSync(dataPathOf(volume))).toBe(true);
    await deletePods(lab, ...pods);
    await lab.volumeGone('with-pods');
    expect(existsSync(volume.imagePath)).toBe(false);
    await deletePods(lab, 'elsewhere');
  });

  it('C23 LoopbackVolume: a deleted namespace converges, leaves first; a volume without its image holds nothing up', async () => {
    const volumes = await Promise.all([readyVolume('tenant-a'), readyVolume('tenant-b')]);
    for (const volume of volumes) await createPod(lab, `${volume.metadata.name}-pod`, dataPathOf(volume));
    // In the order in which nothing fits: what the namespace controller does.
    await Promise.all(volumes.map(({ metadata }) => lab.volumes.delete(`default/${metadata.name}`)));
    await lab.withReason('tenant-a', 'Removed', 'HasDependents');
    sh('rm', volumes[1]?.imagePath ?? '');
    await deletePods(lab, 'tenant-a-pod', 'tenant-b-pod');
    await Promise.all(volumes.map(({ metadata }) => lab.volumeGone(metadata.name)));
    await waitFor(() => volumes.every(({ status }) => !isLive(status.filesystemUUID)), {
      what: 'end of the file systems',
    });
  });

  it('C21 agent: two roots on one node do not touch each other', async () => {
    const other = await lab.startAgent('node-b');
    const ofB = await readyVolume('of-b', { nodeName: 'node-b' });
    const before = [...loopsOf(ofB.imagePath), ...mountsBelow(lab.rootPath('node-b'))];
    const ofA = await readyVolume('of-a', { nodeName: 'node-a' });
    await lab.change('of-a', { mounted: false });
    await lab.withReason('of-a', 'Ready', 'Unmounted');
    await lab.remove('of-a');
    expect(existsSync(ofA.imagePath)).toBe(false);
    expect([...loopsOf(ofB.imagePath), ...mountsBelow(lab.rootPath('node-b'))]).toEqual(before);
    expect(statSync(lab.rootPath('node-b')).mode & 0o777).toBe(0o700);
    await other.end();
    expect([...loopsOf(ofB.imagePath), ...mountsBelow(lab.rootPath('node-b'))]).toEqual(before);
  });

  it('C21 LoopbackVolume: foreign mounts and loop devices are untouched by all of it', () => {
    expect(readFileSync(path.join(foreign.mountPath, 'file'), 'utf8')).toBe('foreign');
    expect(loopsOf(foreign.imagePath)).toEqual([foreign.loopPath]);
    expect(loopsOf(foreignLoop.imagePath)).toEqual([foreignLoop.loopPath]);
  });
});
