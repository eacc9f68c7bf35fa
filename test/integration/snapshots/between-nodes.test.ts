import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Lab } from '../lab.ts';
import { sh } from '../recovery/host-view.ts';
import { pathOf, type SnapshotKit } from './kit.ts';
import { startSnapshotLab } from './snapshot-lab.ts';

let lab: Lab;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  ({ lab, snapshots, dataPath } = await startSnapshotLab({ here: 'node-a', there: 'node-b' }));
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const copyOf = (name: string) => ({ source: { snapshotRef: { name } } });

describe('Snapshot: of a volume on another node', () => {
  it('Snapshot: is received whole, then only the difference; both count their bytes and say why', async () => {
    writeFileSync(path.join(dataPath, 'big'), Buffer.alloc(16 * 2 ** 20, 3));
    await snapshots.create('base', 'here');
    const base = await snapshots.ready('base');
    await snapshots.create('base-copy', 'there', copyOf('base'));
    const copy = await snapshots.ready('base-copy');
    expect(copy.status).toMatchObject({ nodeName: 'node-b', receivedUUID: base.status.uuid, ancestors: ['base'] });
    expect(copy.status.transfer).toMatchObject({ phase: 'Done', why: expect.stringContaining('all of it') });
    expect(copy.status.transfer?.bytes).toBeGreaterThan(16 * 2 ** 20);
    expect(readFileSync(path.join(pathOf(copy), 'big')).equals(readFileSync(path.join(dataPath, 'big')))).toBe(true);

    writeFileSync(path.join(dataPath, 'small'), 'difference');
    sh('cp', '--reflink=always', path.join(dataPath, 'big'), path.join(dataPath, 'clone'));
    await snapshots.create('next', 'here');
    await snapshots.ready('next');
    await snapshots.create('next-copy', 'there', copyOf('next'));
    const next = await snapshots.ready('next-copy');
    expect(next.status.transfer).toMatchObject({ incrementalFrom: base.status.uuid });
    expect(next.status.transfer?.bytes).toBeLessThan(2 ** 20);
    expect(readFileSync(path.join(pathOf(next), 'small'), 'utf8')).toBe('difference');
    sh('cmp', path.join(pathOf(next), 'clone'), path.join(dataPath, 'big'));
  });

  it('F25 Snapshot: all that a volume may hold comes from another node, in full and as a difference', async () => {
    const directory = path.join(dataPath, 'shared');
    const [whiteout, device, program] = ['deleted', 'device', 'program'].map((name) => path.join(directory, name));
    sh('mkdir', directory);
    await snapshots.create('plain', 'here');
    await snapshots.ready('plain');
    await snapshots.create('plain-copy', 'there', copyOf('plain'));
    await snapshots.ready('plain-copy');
    sh('mknod', whiteout ?? '', 'c', '0', '0');
    sh('mknod', device ?? '', 'b', '7', '0');
    writeFileSync(program ?? '', 'x');
    sh('chmod', '6755', program ?? '');
    sh('chmod', 'g+s', directory);
    await snapshots.create('all', 'here');
    await snapshots.ready('all');
    await snapshots.create('all-copy', 'there', copyOf('all'));
    const copy = await snapshots.ready('all-copy');
    expect(copy.status.transfer?.incrementalFrom).toBeDefined();
    const listing = (dir: string) =>
      sh('find', path.join(dir, 'shared'), '-printf', '%P %y %m\n').split('\n').toSorted();
    expect(listing(pathOf(copy))).toEqual(listing(dataPath));
  });
});
