import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { findCondition } from '../../../src/api/conditions.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from '../lab.ts';
import { type SnapshotKit, snapshotKit } from '../snapshots/kit.ts';
import { type Ext4Loop, mountExt4, sh } from './host-view.ts';

const MiB = 1024 ** 2;
let lab: Lab;
let host: Ext4Loop;
let snapshots: SnapshotKit;
let dataPath: string;

beforeAll(async () => {
  lab = await startLab();
  // Pressure begins below 60 MiB.
  host = mountExt4(lab.dir, 'host', 600);
  await lab.startAgent('node-a', { rootPath: path.join(host.mountPath, 'root'), flags: ['--overcommit-ratio=20'] });
  snapshots = snapshotKit(lab);
  await lab.createVolume('vol', { size: '400Mi' });
  dataPath = dataPathOf(await lab.ready('vol'));
  writeFileSync(path.join(dataPath, 'one'), randomBytes(80 * MiB));
  await snapshots.create('one', 'vol');
  await snapshots.ready('one');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Something else on the node takes all of its file system but so many MiB. */
function leaveFree(mebibytes: number): void {
  const filler = path.join(host.mountPath, 'filler');
  sh('rm', '--force', filler);
  sh('sync', '--file-system', host.mountPath);
  const free = Number(sh('df', '--block-size=1M', '--output=avail', host.mountPath).split('\n').at(-1));
  sh('fallocate', '--length', `${(free - mebibytes) * MiB}`, filler);
}

const exportedFiles = () =>
  readdirSync(path.join(host.mountPath, 'root/exports'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
const isPressed = async () =>
  findCondition((await lab.btrfsNodes.get('node-a'))?.status.conditions, 'HostPressure')?.status === 'True';

it('F13 Snapshot: an export for which the node has no room is not begun, and is written when there is', async () => {
  leaveFree(110);
  await snapshots.change('one', { exports: [{ name: 'full' }] });
  const refused = await snapshots.withReason('one', 'Exported', 'HostPressure');
  expect(findCondition(refused.status.conditions, 'Exported')?.message).toContain('not begun: about 80Mi');
  expect(exportedFiles()).toEqual([]);
  leaveFree(300);
  // Any change of the spec makes it look again at once.
  await snapshots.change('one', { deletionPolicy: 'Retain' });
  await snapshots.withReason('one', 'Exported', 'Exported');
  expect(exportedFiles()).toEqual(['full.btrfs']);
  const { bytes = 0 } = (await snapshots.ready('one')).status.exports?.[0] ?? {};
  const { status } = await waitFor(
    async () => {
      const node = await lab.btrfsNodes.get('node-a');
      return (node?.status.exportedBytes ?? 0) >= bytes ? node : undefined;
    },
    { what: 'BtrfsNode that counts the export' },
  );
  expect(status.committedBytes).toBe(400 * MiB + (status.exportedBytes ?? 0));
});

it('F13 Snapshot: an export whose size nobody knows is broken off when pressure begins, and leaves nothing', async () => {
  writeFileSync(path.join(dataPath, 'two'), randomBytes(80 * MiB));
  await snapshots.create('two', 'vol');
  await snapshots.ready('two');
  leaveFree(100);
  await snapshots.change('two', { exports: [{ name: 'increment', parentRef: { name: 'one' } }] });
  const refused = await snapshots.withReason('two', 'Exported', 'HostPressure');
  expect(findCondition(refused.status.conditions, 'Exported')?.message).toContain('broken off and removed');
  await waitFor(() => exportedFiles().join() === 'full.btrfs', { what: 'partial file' });
  await waitFor(async () => !(await isPressed()), { what: 'pressure' });
  writeFileSync(path.join(dataPath, 'file'), 'still writable');
  sh('btrfs', 'filesystem', 'sync', dataPath);
  leaveFree(300);
  await snapshots.change('two', { deletionPolicy: 'Retain' });
  await snapshots.withReason('two', 'Exported', 'Exported');
});

it('F13 LoopbackVolume: the image is not copied without room for it', async () => {
  leaveFree(180);
  await lab.change('vol', { mounted: false, export: { file: 'image' } });
  const refused = await lab.withReason('vol', 'Exported', 'HostPressure');
  expect(conditionOf(refused, 'Exported')?.message).toContain('not begun');
  expect(exportedFiles().toSorted()).toEqual(['full.btrfs', 'increment.btrfs']);
});
