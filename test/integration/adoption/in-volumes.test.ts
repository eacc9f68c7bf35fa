import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { conditionOf as cacheCondition, cloneOf } from '../caches/kit.ts';
import { conditionOf as volumeCondition } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { conditionOf, pathOf } from '../snapshots/kit.ts';
import { areasOf } from '../snapshots/on-disk.ts';
import { caches, kit, lab, snapshots, useAdoptionLab } from './file-lab.ts';
import { NODE } from './kit.ts';

let mountPath: string;
useAdoptionLab();
beforeAll(async () => {
  await lab.createVolume('vol', { nodeName: NODE });
  mountPath = (await lab.ready('vol')).status.mountPath ?? '';
  writeFileSync(path.join(mountPath, 'data/file'), 'data');
});

const adopt = (uid: string) => ({ source: { adopt: { uid } } });
const written = async (name: string, content: string, spec = {}) => {
  await snapshots.create(name, 'vol', { access: 'ReadWrite', ...spec });
  const snapshot = await snapshots.ready(name);
  writeFileSync(path.join(pathOf(snapshot), 'file'), content);
  return snapshot;
};
const fileOf = (dir: string) => readFileSync(path.join(dir, 'file'), 'utf8');

describe('Snapshot: source.adopt', () => {
  it('C8 Snapshot: committed and writable ones are listed and adopted, as they are', async () => {
    const [base, work] = [await written('base', 'base'), await written('work', 'work')];
    await snapshots.change('base', { access: 'ReadOnly' });
    const committed = await snapshots.that('base', ({ status }) => status.uuid !== base.status.uuid);
    await kit.withoutAgent(() => kit.forget('Snapshot/base', 'Snapshot/work'));
    const listed = { kind: 'Snapshot', namespace: 'default', volume: 'vol' };
    expect(await kit.orphan(base.metadata.uid)).toMatchObject({ ...listed, name: 'base', access: 'ReadOnly' });
    expect(await kit.orphan(work.metadata.uid)).toMatchObject({ ...listed, name: 'work', access: 'ReadWrite' });
    await snapshots.create('base', 'vol', adopt(base.metadata.uid));
    await snapshots.create('work', 'vol', { access: 'ReadWrite', ...adopt(work.metadata.uid) });
    const [again, workAgain] = [await snapshots.ready('base'), await snapshots.ready('work')];
    expect(again.status).toMatchObject({ uuid: committed.status.uuid, subvolumeID: committed.status.subvolumeID });
    expect(conditionOf(again, 'Committed')?.status).toBe('True');
    expect([fileOf(pathOf(again)), fileOf(pathOf(workAgain))]).toEqual(['base', 'work']);
    writeFileSync(path.join(pathOf(workAgain), 'more'), 'writable');
    await kit.notListed(base.metadata.uid, work.metadata.uid);
    expect(areasOf(mountPath).join()).not.toMatch(base.metadata.uid);
    await snapshots.create('child', 'vol', { source: { snapshotRef: { name: 'base' } } });
    expect((await snapshots.ready('child')).status.parentUUID).toBe(committed.status.uuid);
    for (const name of ['child', 'base', 'work']) await snapshots.remove(name);
    expect(areasOf(mountPath).filter((path) => path.startsWith('snapshots/'))).toEqual([]);
  });

  it('C5 Snapshot: one that was retained is listed at once, and adopted with the access that is asked for', async () => {
    const { metadata } = await written('kept', 'kept', { deletionPolicy: 'Retain' });
    await snapshots.remove('kept');
    await kit.orphan(metadata.uid);
    await snapshots.create('kept', 'vol', adopt(metadata.uid));
    const kept = await snapshots.that('kept', (each) => conditionOf(each, 'Committed')?.status === 'True');
    expect(fileOf(pathOf(kept))).toBe('kept');
  });

  it('C2 Snapshot: another name, kind or volume, and what nobody has, are refused with the way out', async () => {
    const { metadata } = await written('mine', 'mine', { deletionPolicy: 'Retain' });
    await snapshots.remove('mine');
    await snapshots.create('other', 'vol', adopt(metadata.uid));
    const other = await snapshots.withReason('other', 'Ready', 'AdoptionRefused');
    expect(conditionOf(other, 'Ready')?.message).toContain(
      'its record names Snapshot "mine"; give the object that name',
    );
    await caches.createCache('mine', 'vol', adopt(metadata.uid));
    const kind = await caches.cacheThat(
      'mine',
      (cache) => cacheCondition(cache, 'Ready')?.reason === 'AdoptionRefused',
    );
    expect(cacheCondition(kind, 'Ready')?.message).toContain('is a Snapshot, and this is a BuildCache');
    await lab.createVolume('elsewhere', { size: '256Mi', nodeName: NODE });
    await lab.ready('elsewhere');
    await snapshots.create('mine', 'elsewhere', adopt(metadata.uid));
    const missing = await snapshots.withReason('mine', 'Ready', 'OrphanNotFound');
    expect(conditionOf(missing, 'Ready')?.message).toContain('with the right uid and volume');
    await Promise.all([snapshots.remove('mine'), snapshots.remove('other')]);
    await snapshots.create('mine', 'vol', { access: 'ReadWrite', ...adopt(metadata.uid) });
    expect(fileOf(pathOf(await snapshots.ready('mine')))).toBe('mine');
    await snapshots.create('thief', 'vol', adopt((await snapshots.ready('mine')).metadata.uid));
    const thief = await snapshots.withReason('thief', 'Ready', 'AdoptionRefused');
    expect(conditionOf(thief, 'Ready')?.message).toContain('the uid of an object that exists');
  });

  it('F16 Snapshot: its exports move with it, and are known by its record, an increment whose parent is gone too', async () => {
    await snapshots.create('parent', 'vol');
    await snapshots.ready('parent');
    const exports = [{ name: 'full' }, { name: 'increment', parentRef: { name: 'parent' } }];
    await snapshots.create('shown', 'vol', { exports, deletionPolicy: 'Retain' });
    const before = await snapshots.withReason('shown', 'Exported', 'Exported');
    const inodesOf = ({ status }: typeof before) => (status.exports ?? []).map(({ file }) => statSync(file ?? '').ino);
    const inodes = inodesOf(before);
    for (const name of ['shown', 'parent']) await snapshots.remove(name);
    await snapshots.create('shown', 'vol', { exports, ...adopt(before.metadata.uid) });
    const after = await snapshots.withReason('shown', 'Exported', 'Exported');
    expect(inodesOf(after)).toEqual(inodes);
    const moved = (file = '') => file.replace(before.metadata.uid, after.metadata.uid);
    expect(after.status.exports).toEqual(before.status.exports?.map((each) => ({ ...each, file: moved(each.file) })));
    expect(existsSync(path.dirname(before.status.exports?.[0]?.file ?? ''))).toBe(false);
  });

  it('C8 Snapshot: what is mounted is not adopted before that has ended', async () => {
    const used = await written('used', 'used', { deletionPolicy: 'Retain' });
    await snapshots.remove('used');
    await createPod(lab, 'user', used.status.path ?? '');
    await snapshots.create('used', 'vol', { access: 'ReadWrite', ...adopt(used.metadata.uid) });
    const said = await snapshots.withReason('used', 'Ready', 'InUse');
    expect(conditionOf(said, 'Ready')?.message).toContain('default/user');
    await deletePods(lab, 'user');
    expect(fileOf(pathOf(await snapshots.ready('used')))).toBe('used');
  });
});

describe('BuildCache: source.adopt', () => {
  it('C8 BuildCache: an orphan is adopted with its generations and their numbers; a resetToken counts as applied', async () => {
    await caches.createCache('npm', 'vol', { resetToken: 'once' });
    await caches.cacheReady('npm');
    writeFileSync(path.join(cloneOf(await caches.startJob('first', 'npm')), 'file'), 'first');
    await caches.endJob('first');
    const before = await caches.cacheThat('npm', ({ status }) => status.currentGeneration === 2);
    const working = await caches.startJob('working', 'npm');
    writeFileSync(path.join(cloneOf(working), 'file'), 'working');
    await kit.withoutAgent(() => kit.forget('BuildCacheClaim/first', 'BuildCacheClaim/working', 'BuildCache/npm'));
    expect(await kit.orphan(before.metadata.uid)).toMatchObject({ kind: 'BuildCache', name: 'npm', volume: 'vol' });
    expect(await kit.orphan(working.metadata.uid)).toMatchObject({ kind: 'BuildCacheClaim', name: 'working' });
    await caches.createCache('npm', 'vol', { resetToken: 'twice', ...adopt(before.metadata.uid) });
    const after = await caches.cacheReady('npm');
    expect(after.status.generations?.map(({ generation, uuid }) => [generation, uuid])).toEqual(
      before.status.generations?.map(({ generation, uuid }) => [generation, uuid]),
    );
    const next = await caches.startJob('next', 'npm');
    expect([next.status.baseGeneration, fileOf(cloneOf(next))]).toEqual([2, 'first']);
    writeFileSync(path.join(cloneOf(next), 'file'), 'next');
    expect((await caches.endJob('next')).status).toMatchObject({ outcome: 'Published', generation: 3 });
    // The clone of a claim that this API server no longer knows stays, whatever the new cache does.
    expect(fileOf(cloneOf(working))).toBe('working');
    await kit.notListed(before.metadata.uid);
    await kit.orphan(working.metadata.uid);
    await caches.changeCache('npm', { resetToken: 'thrice' });
    await caches.cacheThat('npm', ({ status }) => status.currentGeneration === 4);
    expect(fileOf(cloneOf(working))).toBe('working');
  });

  it('C8 B2 BuildCacheClaim: a clone stays that was made after the backup which the API server was restored from', async () => {
    await caches.createCache('backed-up', 'vol');
    await caches.cacheReady('backed-up');
    await caches.startJob('old', 'backed-up');
    const known = await caches.cacheThat('backed-up', ({ status }) => status.clones?.length === 1);
    const young = await caches.startJob('young', 'backed-up');
    writeFileSync(path.join(cloneOf(young), 'file'), 'young');
    await caches.cacheThat('backed-up', ({ status }) => status.clones?.length === 2);
    await kit.withoutAgent(async () => {
      await kit.forget('BuildCacheClaim/young');
      const { clones } = known.status;
      const patch = JSON.stringify({ status: { clones } });
      await lab.kubectl(['patch', 'bcache/backed-up', '--subresource=status', '--type=merge', `--patch=${patch}`]);
    });
    await kit.orphan(young.metadata.uid);
    await caches.changeCache('backed-up', { minFreePercent: 1 });
    await caches.cacheReady('backed-up');
    expect(fileOf(cloneOf(young))).toBe('young');
    expect(existsSync(cloneOf(young))).toBe(true);
  });
});

describe('Snapshot and BuildCache: records', () => {
  it('C2 Snapshot: without a record it is listed without a name, and not adopted', async () => {
    const { metadata } = await written('nameless', 'nameless', { deletionPolicy: 'Retain' });
    const recordPath = path.join(mountPath, 'snapshots', metadata.uid, 'record.json');
    sh('mv', recordPath, `${recordPath}.away`);
    await snapshots.remove('nameless');
    expect(await kit.orphan(metadata.uid)).not.toHaveProperty('name');
    await snapshots.create('nameless', 'vol', adopt(metadata.uid));
    const said = await snapshots.withReason('nameless', 'Ready', 'AdoptionRefused');
    expect(conditionOf(said, 'Ready')?.message).toContain('no record that tells whose it is');
    sh('mv', `${recordPath}.away`, recordPath);
    await snapshots.remove('nameless');
    await snapshots.create('nameless', 'vol', adopt(metadata.uid));
    expect(fileOf(pathOf(await snapshots.ready('nameless')))).toBe('nameless');
  });
});

it('C8 agent: what lies in a volume stays listed, with its age, while the volume is unmounted', async () => {
  await lab.createVolume('shut', { size: '256Mi', nodeName: NODE });
  await lab.ready('shut');
  const retained = async (volume: string) => {
    await snapshots.create(`in-${volume}`, volume, { deletionPolicy: 'Retain' });
    const { metadata } = await snapshots.ready(`in-${volume}`);
    await snapshots.remove(`in-${volume}`);
    return await kit.orphan(metadata.uid);
  };
  const before = await retained('shut');
  await lab.change('shut', { mounted: false });
  await lab.volumeThat('shut', ({ status }) => status.mountPath === undefined);
  await kit.withoutAgent(() => undefined);
  // Looked at after all of that.
  const later = await retained('vol');
  expect(await kit.orphan(before.uid)).toEqual(before);
  await snapshots.create('in-shut', 'shut', adopt(before.uid));
  await lab.change('shut', { mounted: true });
  await snapshots.ready('in-shut');
  await kit.notListed(before.uid);
  await kit.orphan(later.uid);
});

it('C8 agent: what lies in a volume is listed also while its own object is gone, and is adopted after it', async () => {
  const inside = await written('inside', 'inside');
  const volume = await lab.ready('vol');
  await kit.withoutAgent(() => kit.forget('Snapshot/inside', 'LoopbackVolume/vol'));
  await Promise.all([inside, volume].map(({ metadata }) => kit.orphan(metadata.uid)));
  await snapshots.create('inside', 'vol', { access: 'ReadWrite', ...adopt(inside.metadata.uid) });
  await lab.createVolume('vol', adopt(volume.metadata.uid));
  expect(volumeCondition(await lab.ready('vol'), 'Mounted')?.status).toBe('True');
  expect(fileOf(pathOf(await snapshots.ready('inside')))).toBe('inside');
});
