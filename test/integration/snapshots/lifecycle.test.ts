import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dataPathOf, type Lab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { conditionOf, pathOf, type SnapshotKit } from './kit.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

let lab: Lab;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  ({ lab, snapshots, dataPath } = await startSnapshotLab());
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

describe('Snapshot: from first to last', () => {
  it('D3 Snapshot: is the data of its volume at one moment, read-only', async () => {
    writeFileSync(path.join(dataPath, 'file'), 'before');
    await snapshots.create('first', 'demo');
    const first = await snapshots.ready('first');
    writeFileSync(path.join(dataPath, 'file'), 'after');
    expect(readFileSync(path.join(pathOf(first), 'file'), 'utf8')).toBe('before');
    expect(() => writeFileSync(path.join(pathOf(first), 'new'), '')).toThrow('EROFS');
    expect(conditionOf(first, 'Committed')?.status).toBe('True');
    expect(first.status.mount?.options).toEqual([`subvolid=${first.status.subvolumeID}`, 'ro']);
  });

  it('D8 Snapshot: an empty writable one is committed by changing its access; an open descriptor writes into neither', async () => {
    await snapshots.create('build', 'demo', {
      source: { empty: {} },
      access: 'ReadWrite',
      owner: { uid: 1000, gid: 1001, mode: '0750' },
    });
    const writable = await snapshots.ready('build');
    expect(sh('stat', '--format=%u %g %a', pathOf(writable)).trim()).toBe('1000 1001 750');
    const file = path.join(pathOf(writable), 'result');
    const descriptor = openSync(file, 'w');
    writeSync(descriptor, 'kept');
    await snapshots.change('build', { access: 'ReadOnly' });
    const committed = await snapshots.that(
      'build',
      (snapshot) => conditionOf(snapshot, 'Committed')?.status === 'True',
    );
    writeSync(descriptor, ' and lost');
    closeSync(descriptor);
    expect(readFileSync(path.join(pathOf(committed), 'result'), 'utf8')).toBe('kept');
    expect(committed.status.uuid).not.toBe(writable.status.uuid);
    expect(existsSync(writable.status.path ?? '')).toBe(false);
  });

  it('D12 Snapshot: with a child it waits in deletion, HasChildren naming it; the end of the child lets it go', async () => {
    await snapshots.create('parent', 'demo');
    await snapshots.create('child', 'demo', { source: { snapshotRef: { name: 'parent' } }, access: 'ReadWrite' });
    const child = await snapshots.ready('child');
    expect(child.status.ancestors).toEqual(['parent']);
    await snapshots.client.delete('default/parent');
    const parent = await snapshots.withReason('parent', 'Removed', 'HasChildren');
    expect(conditionOf(parent, 'Removed')?.message).toContain('child');
    await snapshots.remove('child');
    await snapshots.that('parent', () => true).catch(() => undefined);
    await expect.poll(() => snapshots.client.get('default/parent')).toBeUndefined();
    expect(existsSync(path.dirname(parent.status.path ?? ''))).toBe(false);
  });

  it('C23 LoopbackVolume: waits in deletion for its Snapshots, which it names', async () => {
    await lab.createVolume('held');
    const volume = await lab.ready('held');
    mkdirSync(path.join(dataPathOf(volume), 'dir'));
    await snapshots.create('holder', 'held');
    await snapshots.ready('holder');
    await lab.volumes.delete('default/held');
    const held = await lab.withReason('held', 'Removed', 'HasDependents');
    expect(held.status.conditions?.find(({ type }) => type === 'Removed')?.message).toContain('default/holder');
    await snapshots.remove('holder');
    await lab.volumeGone('held');
  });
});

describe('Snapshot: between volumes', () => {
  it('Snapshot: of another volume is received whole, then incrementally', async () => {
    await lab.createVolume('other');
    await lab.ready('other');
    writeFileSync(path.join(dataPath, 'big'), Buffer.alloc(8 * 2 ** 20, 7));
    await snapshots.create('base', 'demo');
    await snapshots.ready('base');
    await snapshots.create('base-copy', 'other', { source: { snapshotRef: { name: 'base' } } });
    const copy = await snapshots.ready('base-copy');
    const base = await snapshots.ready('base');
    expect(copy.status.receivedUUID).toBe(base.status.uuid);
    expect(copy.status.transfer?.incrementalFrom).toBeUndefined();
    writeFileSync(path.join(dataPath, 'small'), 'more');
    await snapshots.create('next', 'demo');
    await snapshots.ready('next');
    await snapshots.create('next-copy', 'other', { source: { snapshotRef: { name: 'next' } }, access: 'ReadWrite' });
    const next = await snapshots.ready('next-copy');
    expect(next.status.transfer?.incrementalFrom).toBe(base.status.uuid);
    expect(readFileSync(path.join(pathOf(next), 'small'), 'utf8')).toBe('more');
    expect(readFileSync(path.join(pathOf(next), 'big')).equals(Buffer.alloc(8 * 2 ** 20, 7))).toBe(true);
  });
});
