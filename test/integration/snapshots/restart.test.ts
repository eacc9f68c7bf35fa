import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../../cluster/processes.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { installShims, type Shims } from '../../crash/shims.ts';
import { transfersOf } from '../../crash/transfers.ts';
import { dataPathOf, type Lab, startLab } from '../lab.ts';
import { loopsOf, sh } from '../recovery/host-view.ts';
import { pathOf, type SnapshotKit, snapshotKit } from './kit.ts';
import { expectTreeToMatch } from './on-disk.ts';

let lab: Lab;
let agent: OperatorProcess;
let shims: Shims;
let snapshots: SnapshotKit;

const empty = { source: { empty: {} }, access: 'ReadWrite' };
const startAgent = () => lab.startAgent('node-a', { commandPath: shims.commandPath });

beforeAll(async () => {
  lab = await startLab();
  shims = installShims(path.join(lab.dir, 'shims'));
  agent = await startAgent();
  snapshots = snapshotKit(lab);
  for (const name of ['demo', 'other']) await lab.createVolume(name);
  for (const name of ['demo', 'other']) await lab.ready(name);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const commands = (verb: string) => shims.log().filter(({ text }) => text.startsWith(verb));

describe('Snapshot: agents that end and start', () => {
  it('D15 Snapshot: after a restart of the node status.mount is what it is now', async () => {
    await snapshots.create('stays', 'demo');
    const before = await snapshots.ready('stays');
    const volume = await lab.ready('demo');
    agent.kill('SIGKILL');
    await agent.exited;
    // As after a reboot, with something else on the loop device that it had.
    const { mountPath = '', imagePath = '', loopDevice = '' } = volume.status;
    sh('umount', mountPath);
    sh('losetup', '--detach', loopDevice);
    const otherImagePath = path.join(lab.dir, 'other.img');
    sh('truncate', '--size=16M', otherImagePath);
    sh('losetup', loopDevice, otherImagePath);
    try {
      agent = await startAgent();
      const now = await lab.volumeThat('demo', ({ status }) => status.loopDevice === loopsOf(imagePath)[0], 20_000);
      expect(now.status.loopDevice).not.toBe(loopDevice);
      const after = await snapshots.that('stays', ({ status }) => status.mount?.device === now.status.loopDevice);
      expect({ ...after.status.mount, device: '' }).toEqual({ ...before.status.mount, device: '' });
      expect(after.status.uuid).toBe(before.status.uuid);
      const byHandPath = path.join(lab.dir, 'by-hand');
      mkdirSync(byHandPath);
      sh('mount', '-o', after.status.mount?.options.join(',') ?? '', after.status.mount?.device ?? '', byHandPath);
      sh('umount', byHandPath);
      expectTreeToMatch(await lab.ready('demo'), [await snapshots.ready('stays')]);
    } finally {
      sh('losetup', '--detach', loopDevice);
    }
  });

  it('D19 Snapshot: SIGTERM in the middle of a transfer ends the agent in time, and leaves what is resumed', async () => {
    const file = path.join(dataPathOf(await lab.ready('demo')), 'large');
    execFileSync('dd', ['if=/dev/urandom', `of=${file}`, 'bs=1M', 'count=256', 'conv=fsync', 'status=none']);
    await snapshots.create('sent', 'demo');
    await snapshots.ready('sent');
    await snapshots.create('received', 'other', { source: { snapshotRef: { name: 'sent' } } });
    const underWay = () => transfersOf(lab.rootPath('node-a')).length === 2;
    await waitFor(underWay, { what: 'transfer under way', timeoutMs: 20_000, everyMs: 20 });
    const startedAt = performance.now();
    expect(await agent.end(20_000)).toEqual({ code: 0, signal: null });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(transfersOf(lab.rootPath('node-a'))).toEqual([]);
    agent = await startAgent();
    const received = await snapshots.ready('received', 40_000);
    sh('cmp', path.join(pathOf(received), 'large'), file);
    expectTreeToMatch(await lab.ready('other'), [received]);
  });
});

describe('Snapshot: steps that fail', () => {
  it('D16 Snapshot: a clean-up that fails is an Event, and is tried again until nothing is left', async () => {
    await snapshots.create('dirty', 'other', empty);
    const dirty = await snapshots.ready('dirty');
    shims.arm([{ fault: 'fail', verb: 'rm', number: 1 }]);
    await snapshots.remove('dirty');
    shims.arm();
    await lab.event(dirty, 'CommandFailed');
    const events = (await lab.eventsOf(dirty)).filter(({ type }) => type === 'Warning');
    expect(events.map(({ reason, note }) => [reason, note])).toEqual([
      ['CommandFailed', expect.stringContaining('could not remove the Snapshot')],
    ]);
    expectTreeToMatch(await lab.ready('other'), [await snapshots.ready('received')]);
  });

  it('D6 Snapshot: an empty one is not Ready before it is on disk, also when the first try to sync failed', async () => {
    shims.arm([{ fault: 'fail', verb: 'btrfs filesystem sync', number: 1 }]);
    await snapshots.create('synced', 'other', { ...empty, owner: { uid: 7, gid: 7, mode: '0700' } });
    const synced = await snapshots.ready('synced');
    expect(commands('btrfs filesystem sync').map(({ fault }) => fault)).toEqual(['fail', 'none']);
    shims.arm();
    writeFileSync(path.join(pathOf(synced), 'file'), '');
    await snapshots.remove('synced');
  });

  it('D6 Snapshot: Events tell what was made, committed and refused', async () => {
    await snapshots.create('told', 'other', empty);
    const told = await snapshots.ready('told');
    await snapshots.change('told', { access: 'ReadOnly' });
    await snapshots.ready('told');
    await snapshots.create('refused', 'other', { source: { snapshotRef: { name: 'nobody' } } });
    const refused = await snapshots.withReason('refused', 'Ready', 'SourceNotFound');
    const received = await snapshots.ready('received');
    for (const [object, reason] of [
      [told, 'Created'],
      [told, 'Committed'],
      [refused, 'SourceNotFound'],
      [received, 'Transferred'],
    ] as const) {
      const isTold = async () => (await lab.eventsOf(object)).some((event) => event.reason === reason);
      await waitFor(isTold, { what: `event ${reason}` });
    }
  });
});
