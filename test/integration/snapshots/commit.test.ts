import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import type { Lab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { createPod, deletePods } from '../recovery/pods.ts';
import { conditionOf, pathOf, type SnapshotKit } from './kit.ts';
import { expectTreeToMatch, subvolumesOf } from './on-disk.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

let lab: Lab;
let snapshots: SnapshotKit;
let treePath: string;

const child = (name: string) => ({ source: { snapshotRef: { name } }, access: 'ReadWrite' });
const empty = { source: { empty: {} }, access: 'ReadWrite' };
const isCommitted = (snapshot: Snapshot) => conditionOf(snapshot, 'Committed')?.status === 'True';

beforeAll(async () => {
  ({ lab, snapshots, treePath } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** A writable one with a file, as a build leaves it. */
async function built(name: string, spec: Record<string, unknown> = empty): Promise<Snapshot> {
  await snapshots.create(name, 'demo', spec);
  const snapshot = await snapshots.ready(name);
  writeFileSync(path.join(pathOf(snapshot), 'result'), name);
  return snapshot;
}

async function committed(name: string): Promise<Snapshot> {
  await snapshots.change(name, { access: 'ReadOnly' });
  return await snapshots.that(name, isCommitted);
}

const resultOf = (snapshot: Snapshot) => readFileSync(path.join(pathOf(snapshot), 'result'), 'utf8');

describe('Snapshot: a commit waits for who writes', () => {
  it('D8 Snapshot: while it is bind-mounted it waits, InUse, naming where, and goes on when it is unmounted', async () => {
    const before = await built('bound');
    const mountPath = path.join(lab.dir, 'bound');
    mkdirSync(mountPath);
    sh('mount', '--bind', pathOf(before), mountPath);
    try {
      await snapshots.change('bound', { access: 'ReadOnly' });
      const waiting = await snapshots.withReason('bound', 'Ready', 'InUse');
      expect(conditionOf(waiting, 'InUse')).toMatchObject({
        status: 'True',
        message: expect.stringContaining(mountPath),
      });
      expect([isCommitted(waiting), waiting.status.uuid]).toEqual([false, before.status.uuid]);
      writeFileSync(path.join(mountPath, 'result'), 'last words');
    } finally {
      sh('umount', mountPath);
    }
    const after = await snapshots.that('bound', isCommitted);
    expect([conditionOf(after, 'InUse'), resultOf(after)]).toEqual([undefined, 'last words']);
  });

  it('D8 Snapshot: a directory of it, mounted by its id elsewhere, holds it up as well', async () => {
    const { status } = await built('part');
    mkdirSync(path.join(status.path ?? '', 'dir'));
    const mountPath = path.join(lab.dir, 'part');
    mkdirSync(mountPath);
    sh('mount', '-t', 'btrfs', '-o', (status.mount?.options ?? []).join(','), status.mount?.device ?? '', mountPath);
    sh('mount', '--bind', path.join(mountPath, 'dir'), mountPath);
    await snapshots.change('part', { access: 'ReadOnly' });
    await snapshots.withReason('part', 'Ready', 'InUse');
    sh('umount', mountPath);
    await snapshots.withReason('part', 'InUse', 'InUse');
    sh('umount', mountPath);
    await snapshots.that('part', isCommitted);
  });

  it.for(['', '/dir', '/..'])('D8 Snapshot: while a pod mounts %j of it it waits, naming the pod', async (below) => {
    const name = `pod${['', '/dir', '/..'].indexOf(below)}`;
    const { status } = await built(name);
    await createPod(lab, name, path.join(status.path ?? '', below));
    await snapshots.change(name, { access: 'ReadOnly' });
    const waiting = await snapshots.withReason(name, 'Ready', 'InUse');
    expect(conditionOf(waiting, 'InUse')?.message).toContain(`default/${name}`);
    expect(isCommitted(waiting)).toBe(false);
    await deletePods(lab, name);
    await snapshots.that(name, isCommitted);
  });

  it('Snapshot: one in which subvolumes lie is not committed, which could not contain them; it says so', async () => {
    const { status } = await built('nested');
    const nestedPath = path.join(status.path ?? '', 'inner');
    sh('btrfs', 'subvolume', 'create', nestedPath);
    await snapshots.change('nested', { access: 'ReadOnly' });
    await snapshots.withReason('nested', 'Ready', 'NestedSubvolumes');
    expect(existsSync(nestedPath)).toBe(true);
    sh('btrfs', 'subvolume', 'delete', nestedPath);
    await snapshots.change('nested', { deletionPolicy: 'Retain' });
    await snapshots.change('nested', { deletionPolicy: 'Delete' });
    expect(resultOf(await snapshots.that('nested', isCommitted))).toBe('nested');
  });
});

describe('Snapshot: what a commit gives', () => {
  it('D9 D10 Snapshot: it keeps its name; id and uuid are the committed ones, the writable one is gone; twice is a no-op', async () => {
    const before = await built('once', child((await committedBase()).metadata.name));
    const after = await committed('once');
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.status.parentUUID).toBe(before.status.uuid);
    expect([after.status.uuid === before.status.uuid, after.status.subvolumeID === before.status.subvolumeID]).toEqual([
      false,
      false,
    ]);
    expect(subvolumesOf(treePath)).not.toContain(`snapshots/${before.metadata.uid}/rw`);
    expect(() => sh('btrfs', 'subvolume', 'show', before.status.path ?? '')).toThrow();
    await snapshots.client.apply(
      { metadata: { namespace: 'default', name: 'once' }, spec: after.spec },
      { fieldManager: 'user' },
    );
    await snapshots.change('once', { access: 'ReadOnly', deletionPolicy: 'Retain' });
    const again = await snapshots.ready('once');
    expect([again.status.uuid, again.status.subvolumeID]).toEqual([after.status.uuid, after.status.subvolumeID]);
    expect(again.status.ancestors).toEqual(['commit-base']);
    await snapshots.change('once', { deletionPolicy: 'Delete' });
  });

  it('D6 Snapshot: after all that, the volume holds what the objects say and nothing else', async () => {
    expectTreeToMatch(await lab.ready('demo'), await snapshots.client.list());
  });
});

async function committedBase(): Promise<Snapshot> {
  await built('commit-base');
  return await committed('commit-base');
}
