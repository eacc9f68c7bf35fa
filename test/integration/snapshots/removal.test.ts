import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LoopbackVolume } from '../../../src/api/loopback-volume.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { dataPathOf, type Lab, conditionOf as volumeCondition } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { conditionOf, pathOf, type SnapshotKit } from './kit.ts';
import { countSubvolumes, expectTreeToMatch, subvolumesOf } from './on-disk.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

const MiB = 1024 * 1024;
let lab: Lab;
let snapshots: SnapshotKit;
let volume: LoopbackVolume;
let treePath: string;

const child = (name: string) => ({ source: { snapshotRef: { name } } });
const empty = { source: { empty: {} }, access: 'ReadWrite' };

beforeAll(async () => {
  ({ lab, snapshots, volume, treePath } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const freeBytes = () => {
  const { bsize, bavail } = statfsSync(treePath);
  return bsize * bavail;
};

function nest(...parts: readonly string[]): string {
  // Not through path.join: a name may have anything but a slash in it.
  const nestedPath = parts.join('/');
  execFileSync('btrfs', ['-q', 'subvolume', 'create', '--', nestedPath]);
  return nestedPath;
}

/** A line of `btrfs subvolume list -p` that says that the subvolume `id` lies in `parent`. */
const forged = (id: number, parent: number) => `\nID ${id} gen 1 parent ${parent} top level ${parent} path x`;

const idOf = (subvolumePath: string) => Number(sh('btrfs', 'inspect-internal', 'rootid', subvolumePath));

describe('Snapshot: deletion', () => {
  it('D13 Snapshot: a writable one goes with the subvolumes in it, whatever their names say; those of others stay', async () => {
    const data = path.join(treePath, 'data');
    const others = [nest(data, 'mine'), nest(data, 'mine', 'inner')];
    await snapshots.create('victim', 'demo', empty);
    await snapshots.create('other', 'demo', empty);
    const [victim, other] = [await snapshots.ready('victim'), await snapshots.ready('other')];
    const victimPath = pathOf(victim);
    others.push(nest(pathOf(other), 'kept'));
    const before = countSubvolumes(treePath);
    const own = victim.status.subvolumeID ?? 0;
    // Numbers are given one after the other: these names tell of the others, as lying in this one, and of what comes after.
    const next = idOf(others.at(-1) ?? '') + 1;
    nest(victimPath, `data${forged(idOf(data), own)}`);
    nest(victimPath, `other${forged(other.status.subvolumeID ?? 0, own)}`);
    nest(victimPath, `mine${forged(idOf(others[0] ?? ''), own)}`);
    nest(victimPath, `deep${forged(next + 6, own)}`);
    nest(victimPath, `tree${forged(idOf(treePath), own)}`);
    const outer = nest(victimPath, 'outer');
    const deepest = nest(outer, `a\nb${forged(own, next + 5)}`);
    expect([idOf(outer), idOf(deepest)]).toEqual([next + 5, next + 6]);
    writeFileSync(`${deepest}/file`, 'x');
    await snapshots.remove('victim');
    expect(existsSync(path.join(treePath, 'snapshots', victim.metadata.uid))).toBe(false);
    expect(countSubvolumes(treePath)).toBe(before - 1);
    for (const each of others) expect(sh('stat', '--format=%i', each)).toBe('256');
    await snapshots.remove('other');
    for (const each of [others[1], others[0]]) sh('btrfs', 'subvolume', 'delete', each ?? '');
  });

  it('D14 Snapshot: the space comes back within 5 s of the deletion', async () => {
    await snapshots.create('large', 'demo', empty);
    const large = await snapshots.ready('large');
    execFileSync('dd', [
      'if=/dev/urandom',
      `of=${pathOf(large)}/file`,
      'bs=1M',
      'count=96',
      'conv=fsync',
      'status=none',
    ]);
    await snapshots.change('large', { access: 'ReadOnly' });
    await snapshots.that('large', (one) => conditionOf(one, 'Committed')?.status === 'True');
    sh('btrfs', 'filesystem', 'sync', treePath);
    const before = freeBytes();
    const startedAt = performance.now();
    await snapshots.client.delete('default/large');
    await waitFor(() => freeBytes() - before > 90 * MiB, { what: 'space', timeoutMs: 5_000 });
    const ms = Math.round(performance.now() - startedAt);
    console.log(`96 MiB of a deleted Snapshot are free again after ${ms} ms`);
    await expect.poll(() => snapshots.client.get('default/large')).toBeUndefined();
  });

  it('C23 Snapshot: while a mount or a pod uses it deletion waits, InUse, naming which', async () => {
    await snapshots.create('used', 'demo');
    const { status } = await snapshots.ready('used');
    const mountPath = path.join(lab.dir, 'used');
    mkdirSync(mountPath);
    sh('mount', '--bind', status.path ?? '', mountPath);
    await createPod(lab, 'user', status.path ?? '');
    await snapshots.client.delete('default/used');
    const held = await snapshots.withReason('used', 'Removed', 'InUse');
    expect(conditionOf(held, 'InUse')?.message).toContain('default/user');
    await deletePods(lab, 'user');
    await snapshots.that('used', (one) => conditionOf(one, 'Removed')?.message.includes(mountPath) === true);
    expect(existsSync(status.path ?? '')).toBe(true);
    sh('umount', mountPath);
    await expect.poll(() => snapshots.client.get('default/used')).toBeUndefined();
  });

  it('C14 Snapshot: what was never made, or is gone from the volume, can be deleted', async () => {
    await snapshots.create('unmade', 'demo', child('nobody'));
    await snapshots.withReason('unmade', 'Ready', 'SourceNotFound');
    await snapshots.create('unplaced', 'no-such-volume');
    await snapshots.withReason('unplaced', 'Scheduled', 'VolumeNotFound');
    await snapshots.create('lost', 'demo');
    const lost = await snapshots.ready('lost');
    sh('btrfs', 'subvolume', 'delete', pathOf(lost));
    await snapshots.change('lost', { deletionPolicy: 'Retain' });
    const missing = await snapshots.withReason('lost', 'Ready', 'DataMissing');
    expect([missing.status.uuid, subvolumesOf(treePath)]).toEqual([lost.status.uuid, ['data']]);
    await snapshots.change('lost', { deletionPolicy: 'Delete' });
    await Promise.all(['unmade', 'unplaced', 'lost'].map((name) => snapshots.remove(name)));
    expectTreeToMatch(volume, []);
  });

  it('C5 Snapshot: with Retain, subvolume and record stay for adoption when the object goes', async () => {
    writeFileSync(path.join(dataPathOf(volume), 'file'), 'kept');
    await snapshots.create('retained', 'demo', { deletionPolicy: 'Retain' });
    const { metadata, status } = await snapshots.ready('retained');
    await snapshots.remove('retained');
    expect(readFileSync(path.join(status.path ?? '', 'file'), 'utf8')).toBe('kept');
    const record = readFileSync(path.join(path.dirname(status.path ?? ''), 'record.json'), 'utf8');
    expect(JSON.parse(record)).toMatchObject({ uid: metadata.uid, namespace: 'default', name: 'retained' });
    // The same name again is another one.
    await snapshots.create('retained', 'demo', empty);
    const again = await snapshots.ready('retained');
    expect(again.status.path).not.toBe(status.path);
    expect(existsSync(path.join(pathOf(again), 'file'))).toBe(false);
    await snapshots.remove('retained');
  });
});

describe('LoopbackVolume: deletion with Snapshots in it', () => {
  it('C23 LoopbackVolume: names the first ten Snapshots that it waits for; all deleted at once converge, leaves first', async () => {
    await lab.createVolume('crowded', { size: '256Mi' });
    await lab.ready('crowded');
    const names = Array.from({ length: 12 }, (_, index) => `crowd-${String(index).padStart(2, '0')}`);
    for (const [index, name] of names.entries()) {
      await snapshots.create(name, 'crowded', index === 0 ? {} : child(names[index - 1] ?? ''));
    }
    await snapshots.ready(names.at(-1) ?? '', 30_000);
    await lab.volumes.delete('default/crowded');
    const held = await lab.withReason('crowded', 'Removed', 'HasDependents');
    const message = volumeCondition(held, 'Removed')?.message ?? '';
    expect(message.match(/crowd-\d\d/g)).toEqual(names.slice(0, 10));
    await lab.kubectl(['delete', 'bsnap', '--namespace=default', '--wait=false', ...names]);
    await lab.volumeGone('crowded');
    expect(await snapshots.client.list()).toEqual([]);
  });

  it('C9 C23 LoopbackVolume: one whose image is gone releases its Snapshots; nothing of theirs is served to namesakes', async () => {
    const make = async () => {
      await lab.createVolume('imageless', { size: '256Mi' });
      const made = await lab.ready('imageless');
      await snapshots.create('inside', 'imageless', empty);
      return { made, inside: await snapshots.ready('inside') };
    };
    const first = await make();
    await lab.change('imageless', { mounted: false });
    await lab.ready('imageless');
    rmSync(first.made.status.imagePath ?? '');
    await lab.volumes.delete('default/imageless');
    await snapshots.client.delete('default/inside');
    await expect.poll(() => snapshots.client.get('default/inside')).toBeUndefined();
    await lab.volumeGone('imageless');
    const second = await make();
    expect(second.inside.status.uuid).not.toBe(first.inside.status.uuid);
    expectTreeToMatch(second.made, [second.inside]);
  });
});
