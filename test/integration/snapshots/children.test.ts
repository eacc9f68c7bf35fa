import { mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { logTail } from '../../cluster/child.ts';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import type { Lab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { conditionOf, pathOf, type SnapshotKit } from './kit.ts';
import { areasOf, countSubvolumes, expectTreeToMatch } from './on-disk.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

let lab: Lab;
let agent: OperatorProcess;
let snapshots: SnapshotKit;
let treePath: string;

const child = (name: string) => ({ source: { snapshotRef: { name } } });
const writable = { access: 'ReadWrite' };
const empty = { source: { empty: {} }, ...writable };

beforeAll(async () => {
  let dataPath: string;
  ({ lab, agent, snapshots, treePath, dataPath } = await startSnapshotLab());
  writeFileSync(path.join(dataPath, 'file'), 'data');
  await snapshots.create('base', 'demo');
  await snapshots.ready('base');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('Snapshot: what it is made of', () => {
  it('D2 Snapshot: conditions tell an active one, a view and a committed one apart', async () => {
    await snapshots.create('active', 'demo', { ...child('base'), ...writable });
    await snapshots.create('view', 'demo', child('base'));
    const states = await Promise.all(['active', 'view', 'base'].map((name) => snapshots.ready(name)));
    expect(
      states.map((one) => [conditionOf(one, 'Committed')?.status, one.status.mount?.options.includes('ro')]),
    ).toEqual([
      ['False', false],
      ['True', true],
      ['True', true],
    ]);
  });

  it('D3 B7 C11 Snapshot: a child waits for a parent that is not there, then for its commit, and goes on by itself', async () => {
    await snapshots.create('late-child', 'demo', { ...child('late'), ...writable });
    const orphan = await snapshots.withReason('late-child', 'Ready', 'SourceNotFound');
    expect(conditionOf(orphan, 'Ready')).toMatchObject({ status: 'False', message: expect.stringContaining('"late"') });
    await snapshots.create('late', 'demo', empty);
    const late = await snapshots.ready('late');
    await snapshots.withReason('late-child', 'Ready', 'SourceNotCommitted');
    expect(areasOf(treePath).join()).not.toContain(orphan.metadata.uid);
    writeFileSync(path.join(pathOf(late), 'result'), 'late');
    await snapshots.change('late', { access: 'ReadOnly' });
    const made = await snapshots.ready('late-child');
    expect(readFileSync(path.join(pathOf(made), 'result'), 'utf8')).toBe('late');
    writeFileSync(path.join(pathOf(made), 'result'), 'changed');
    expect(made.status.parentUUID).toBe((await snapshots.ready('late')).status.uuid);
  });

  it('D3 Snapshot: waits with the reason for a volume that is not there, and goes on by itself', async () => {
    await snapshots.create('early', 'later-volume');
    const waits = await snapshots.withReason('early', 'Scheduled', 'VolumeNotFound');
    expect(conditionOf(waits, 'Scheduled')?.message).toContain('later-volume');
    await lab.createVolume('later-volume', { size: '256Mi' });
    await snapshots.ready('early', 30_000);
  });

  it('C11 Snapshot: a child of one that is being deleted waits, and says so', async () => {
    await snapshots.create('going', 'demo');
    await snapshots.create('holds', 'demo', child('going'));
    await snapshots.ready('holds');
    await snapshots.client.delete('default/going');
    await snapshots.create('too-late', 'demo', child('going'));
    await snapshots.withReason('too-late', 'Ready', 'SourceDeleted');
    await snapshots.remove('too-late');
    await snapshots.remove('holds');
    await expect.poll(() => snapshots.client.get('default/going')).toBeUndefined();
  });

  it('D4 Snapshot: nobody writes into a view, not even its owner', async () => {
    const owner = { uid: 1000, gid: 1000, mode: '0777' };
    await snapshots.create('owned-view', 'demo', { ...child('base'), owner });
    const view = pathOf(await snapshots.ready('owned-view'));
    expect(sh('stat', '--format=%u:%g:%a', view)).toBe('1000:1000:777');
    for (const write of [
      () => writeFileSync(path.join(view, 'new'), ''),
      () => writeFileSync(path.join(view, 'file'), ''),
    ])
      expect(write).toThrow('EROFS');
    expect(() => sh('setpriv', '--reuid=1000', '--clear-groups', 'chmod', '700', view)).toThrow();
    expect(readFileSync(path.join(view, 'file'), 'utf8')).toBe('data');
  });

  it('D5 Snapshot: ancestors are listed root-ward, also of a chain that was applied at once, leaves first', async () => {
    const names = ['link-1', 'link-2', 'link-3', 'link-4', 'link-5'];
    for (const [index, name] of [...names.entries()].reverse())
      await snapshots.create(name, 'demo', index === 0 ? {} : child(names[index - 1] ?? ''));
    for (const [index, name] of names.entries()) {
      const ancestors = names.slice(0, index).reverse();
      await snapshots.ready(name);
      await snapshots.that(name, ({ status }) => String(status.ancestors ?? []) === String(ancestors), 10_000);
    }
    const middle = await snapshots.ready('link-3');
    expect([middle.status.childCount, conditionOf(middle, 'HasChildren')?.message]).toEqual([1, 'link-4']);
  });
});

describe('Snapshot: where it is', () => {
  it('D7 Snapshot: mounting by hand with what status.mount says gives the subvolume, writable or not', async () => {
    await snapshots.create('by-hand', 'demo', { ...child('base'), ...writable });
    for (const name of ['by-hand', 'base']) {
      const { status, spec } = await snapshots.ready(name);
      const { device = '', fsType = '', options = [] } = status.mount ?? {};
      const mountPath = mkdtempSync(path.join(lab.dir, 'by-hand-'));
      sh('mount', '-t', fsType, '-o', options.join(','), device, mountPath);
      try {
        expect(readFileSync(path.join(mountPath, 'file'), 'utf8')).toBe('data');
        const write = () => writeFileSync(path.join(mountPath, 'by-hand'), '');
        if (spec.access === 'ReadWrite') write();
        else expect(write).toThrow('EROFS');
      } finally {
        sh('umount', mountPath);
      }
    }
    expect(readdirSync(pathOf(await snapshots.ready('by-hand')))).toContain('by-hand');
  });

  it('D1 Snapshot: everything above the data of tenants is for root only', async () => {
    const base = pathOf(await snapshots.ready('base'));
    const above = ['snapshots', 'staging', path.relative(treePath, path.dirname(base))];
    for (const dir of [lab.rootPath('node-a'), treePath, ...above.map((name) => path.join(treePath, name))]) {
      const { mode, uid } = statSync(dir);
      expect([dir, uid, (mode & 0o777).toString(8)]).toEqual([dir, 0, '700']);
    }
    expect(() => sh('setpriv', '--reuid=1000', '--clear-groups', 'cat', path.join(base, 'file'))).toThrow('denied');
    expect((statSync(path.join(path.dirname(base), 'record.json')).mode & 0o777).toString(8)).toBe('600');
  });

  it('C5 Snapshot: a record beside it says whose it is', async () => {
    const { metadata, status } = await snapshots.ready('base');
    const record = JSON.parse(readFileSync(path.join(path.dirname(status.path ?? ''), 'record.json'), 'utf8'));
    const { uid, name } = metadata;
    expect(record).toMatchObject({ schemaVersion: 1, kind: 'Snapshot', namespace: 'default', name, uid });
  });

  it('D18 Snapshot: no name becomes a path on the node: uids do', async () => {
    const entries = () => [lab.rootPath('node-a'), lab.dir].map((dir) => readdirSync(dir).toSorted());
    const before = entries();
    const { metadata } = await snapshots.ready('base');
    // As odd as the API server lets a name be: also one that is a uid, and those of the tree's own directories.
    for (const name of [metadata.uid, 'data', 'snapshots', 'staging', 'ro', 'rw', 'a.b-c.0']) {
      await snapshots.create(name, 'demo', { ...child('base'), ...writable });
      const made = await snapshots.ready(name);
      expect(made.status.path).toBe(path.join(treePath, 'snapshots', made.metadata.uid, 'rw'));
      await snapshots.remove(name);
    }
    expect(entries()).toEqual(before);
    expect(readFileSync(path.join(pathOf(await snapshots.ready('base')), 'file'), 'utf8')).toBe('data');
  });
});

describe('Snapshot: labels and what is inside', () => {
  it('D11 D20 Snapshot: labels and annotations are the user’s: not inherited, and a change of them does nothing on disk', async () => {
    const metadata = { labels: { team: 'a' }, annotations: { note: 'b' } };
    await snapshots.client.patch('default/base', { metadata }, { type: 'merge' });
    await snapshots.create('heir', 'demo', child('base'));
    const heir = await snapshots.ready('heir');
    expect([heir.metadata.labels, heir.metadata.annotations]).toEqual([undefined, undefined]);
    const passes = () => agent.log().match(/"name":"heir"[^\n]*pass ended/g) ?? [];
    // The pass that says Ready ends after it has said so.
    const hasEnded = () => passes().at(-1)?.includes('"outcome":"settled"') === true;
    await waitFor(hasEnded, { what: 'end of the pass that made it', timeoutMs: 15_000 });
    const before = { passes: passes().length, count: countSubvolumes(treePath), status: heir.status };
    const labelled = await snapshots.client.patch('default/heir', { metadata }, { type: 'merge' });
    expect(labelled.metadata.labels).toEqual(metadata.labels);
    // What comes later in the watch has been seen: so has the label.
    await snapshots.change('base', { deletionPolicy: 'Retain' });
    await snapshots.ready('base');
    const { status } = await snapshots.ready('heir');
    expect({ passes: passes().length, count: countSubvolumes(treePath), status }, logTail(agent)).toEqual(before);
    await snapshots.change('base', { deletionPolicy: 'Delete' });
  });

  it('Snapshot: what lies in nested subvolumes is not in it, and it says so', async () => {
    const dataPath = path.join(treePath, 'data');
    sh('btrfs', 'subvolume', 'create', path.join(dataPath, 'nested'));
    writeFileSync(path.join(dataPath, 'nested', 'file'), 'nested');
    await snapshots.create('without', 'demo');
    const without = await snapshots.ready('without');
    expect(conditionOf(without, 'NestedSubvolumes')).toMatchObject({ status: 'True', reason: 'NestedSubvolumes' });
    expect(readdirSync(path.join(pathOf(without), 'nested'))).toEqual([]);
    sh('btrfs', 'subvolume', 'delete', path.join(dataPath, 'nested'));
    await snapshots.create('with-all', 'demo');
    expect(conditionOf(await snapshots.ready('with-all'), 'NestedSubvolumes')).toBeUndefined();
  });

  it('D6 Snapshot: after all that, the volume holds what the objects say and nothing else', async () => {
    const volume = await lab.ready('demo');
    const own = (await snapshots.client.list()).filter(({ spec }) => spec.volumeRef.name === 'demo');
    expect(own.length).toBeGreaterThan(10);
    expectTreeToMatch(volume, own);
  });
});
