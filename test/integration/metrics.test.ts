import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperatorProcess } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { cacheKit } from './caches/kit.ts';
import { conditionOf, dataPathOf, type Lab, startLab } from './lab.ts';
import { sh } from './recovery/host-view.ts';
import { snapshotKit } from './snapshots/kit.ts';

let lab: Lab;
let agent: OperatorProcess;

beforeAll(async () => {
  lab = await startLab();
  agent = await lab.startAgent('node-a');
  await lab.createVolume('vol', { nodeName: 'node-a', size: '256Mi' });
  await lab.ready('vol');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const metricsOf = async (process: OperatorProcess) =>
  await (await fetch(new URL('/metrics', await process.metricsUrl()))).text();

/** Value of the series that has this name and at least these labels; undefined if there is none. */
async function sample(process: OperatorProcess, name: string, ...labels: readonly string[]) {
  const line = (await metricsOf(process))
    .split('\n')
    .find((text) => text.match(/^\w+/)?.[0] === name && labels.every((label) => text.includes(label)));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}
const OF_VOLUME = ['namespace="default"', 'name="vol"'];

describe('metrics of an agent', () => {
  it('LoopbackVolume: its figures are those of its status, of the image and of btrfs itself', async () => {
    const volume = await lab.ready('vol');
    const { sizeBytes = 0, mountPath = '', imagePath = '' } = volume.status;
    expect(await sample(agent, 'btrfs_volume_size_bytes', ...OF_VOLUME)).toBe(sizeBytes);
    await waitFor(
      async () => {
        const [, unallocated] =
          /Device unallocated:\s+(\d+)/.exec(sh('btrfs', 'filesystem', 'usage', '-b', mountPath)) ?? [];
        const [, used] = /^ {4}Used:\s+(\d+)/m.exec(sh('btrfs', 'filesystem', 'usage', '-b', mountPath)) ?? [];
        return (
          (await sample(agent, 'btrfs_volume_unallocated_bytes', ...OF_VOLUME)) === Number(unallocated) &&
          (await sample(agent, 'btrfs_volume_used_bytes', ...OF_VOLUME)) === Number(used) &&
          (await sample(agent, 'btrfs_volume_host_bytes', ...OF_VOLUME)) ===
            Number(sh('stat', '-c', '%b', imagePath)) * 512
        );
      },
      { what: 'figures as btrfs and the node have them' },
    );
    const { freeBytes = 0 } = volume.status;
    const free = (await sample(agent, 'btrfs_volume_free_bytes', ...OF_VOLUME)) ?? 0;
    expect(Math.abs(free - freeBytes)).toBeLessThan(sizeBytes / 50);
  });

  it('BtrfsNode: what the node offers, and the programs that run there', async () => {
    const node = await waitFor(
      async () => {
        const found = await lab.btrfsNodes.get('node-a');
        return found?.status.committedBytes === 256 * 2 ** 20 ? found : undefined;
      },
      { what: 'BtrfsNode that counts the volume' },
    );
    const { hostTotalBytes, allocatableBytes, committedBytes, kernel, btrfsProgs } = node.status;
    expect(await sample(agent, 'btrfs_node_total_bytes')).toBe(hostTotalBytes);
    expect(await sample(agent, 'btrfs_node_allocatable_bytes')).toBe(allocatableBytes);
    expect(await sample(agent, 'btrfs_node_committed_bytes')).toBe(committedBytes);
    expect(await sample(agent, 'btrfs_node_free_bytes')).toBeGreaterThan(0);
    expect(await sample(agent, 'btrfs_agent_info', `kernel="${kernel}"`, `btrfs_progs="${btrfsProgs}"`)).toBe(1);
    expect(await sample(agent, 'btrfs_operator_info', 'component="agent"')).toBe(1);
    const endsAt = await waitFor(() => sample(agent, 'btrfs_transfer_certificate_expiry_timestamp_seconds'), {
      what: 'certificate for transfers',
    });
    expect(endsAt * 1000).toBeGreaterThan(Date.now() + 3_600_000);
    expect(await sample(agent, 'btrfs_node_orphans')).toBe(0);
    expect(await sample(agent, 'btrfs_node_orphan_bytes')).toBe(0);
  });

  it('Snapshot and BuildCache: what lives in a volume is counted, and work is timed', async () => {
    const snapshots = snapshotKit(lab);
    await snapshots.create('one', 'vol');
    await snapshots.create('two', 'vol');
    await Promise.all([snapshots.ready('one'), snapshots.ready('two')]);
    expect(await sample(agent, 'btrfs_volume_snapshots', ...OF_VOLUME)).toBe(2);
    const caches = cacheKit(lab);
    await caches.createCache('cache', 'vol');
    await caches.startJob('job', 'cache');
    const cache = await caches.cacheThat('cache', ({ status }) => status.activeClaims === 1);
    expect(await sample(agent, 'btrfs_cache_generations', 'name="cache"')).toBe(cache.status.generations?.length);
    expect(await sample(agent, 'btrfs_cache_active_claims', 'name="cache"')).toBe(1);
    const timed = 'btrfs_operation_duration_seconds_count';
    expect(await sample(agent, timed, 'operation="create"', 'outcome="ok"')).toBe(1);
    expect(await sample(agent, timed, 'operation="snapshot"', 'outcome="ok"')).toBe(2);
    await snapshots.remove('two');
    expect(await sample(agent, 'btrfs_volume_snapshots', ...OF_VOLUME)).toBe(1);
  });

  it('LoopbackVolume: errors that btrfs counts are shown by kind as the kernel has them, and the volume says Damaged', async () => {
    await lab.createVolume('hurt', { nodeName: 'node-a', size: '256Mi', compression: 'none' });
    const volume = await lab.ready('hurt');
    expect(await sample(agent, 'btrfs_device_errors_total', 'name="hurt"', 'kind="corruption"')).toBe(0);
    damageFile(path.join(dataPathOf(volume), 'file'), volume.status.imagePath ?? '');
    await waitFor(
      async () => ((await sample(agent, 'btrfs_device_errors_total', 'name="hurt"', 'kind="corruption"')) ?? 0) > 0,
      {
        what: 'errors in metrics',
      },
    );
    const told = await lab.withReason('hurt', 'Damaged', 'DeviceErrors');
    expect(conditionOf(told, 'Ready')?.status).toBe('True');
    const [, counted] =
      /corruption_errs\s+(\d+)/.exec(sh('btrfs', 'device', 'stats', volume.status.mountPath ?? '')) ?? [];
    expect(await sample(agent, 'btrfs_device_errors_total', 'name="hurt"', 'kind="corruption"')).toBe(Number(counted));
    expect(await sample(agent, 'btrfs_device_errors_total', 'name="hurt"', 'kind="write"')).toBe(0);
    expect(
      await sample(lab.controller, 'btrfs_volume_condition', 'name="hurt"', 'type="Damaged"', 'status="True"'),
    ).toBe(1);
  });
});

describe('metrics of the controller', () => {
  it('conditions of volumes and nodes are series, and objects are counted by Ready', async () => {
    await lab.ready('vol');
    await waitFor(
      () => sample(lab.controller, 'btrfs_volume_condition', ...OF_VOLUME, 'type="Ready"', 'status="True"'),
      {
        what: 'Ready of the volume',
      },
    );
    expect(
      await sample(lab.controller, 'btrfs_volume_condition', ...OF_VOLUME, 'type="Ready"', 'status="False"'),
    ).toBeUndefined();
    expect(await sample(lab.controller, 'btrfs_node_condition', 'node="node-a"', 'type="Ready"', 'status="True"')).toBe(
      1,
    );
    expect(await sample(lab.controller, 'btrfs_objects', 'kind="Snapshot"', 'ready="True"')).toBe(1);
    expect(await sample(lab.controller, 'btrfs_operator_info', 'component="controller"')).toBe(1);
  });

  it('a volume without a node is shown as not Ready, and why it has none; one that nothing mends is counted as stalled', async () => {
    await lab.createVolume('nowhere', { nodeName: 'no-such-node' });
    const condition = (...labels: readonly string[]) =>
      sample(lab.controller, 'btrfs_volume_condition', 'name="nowhere"', ...labels);
    await waitFor(() => condition('type="Scheduled"', 'status="False"', 'reason="UnknownNode"'), {
      what: 'volume without a node',
    });
    expect(await condition('type="Ready"', 'status="Unknown"')).toBe(1);
    const stalled = () => sample(lab.controller, 'btrfs_objects_stalled', 'kind="BuildCache"');
    expect(await stalled()).toBe(0);
    const caches = cacheKit(lab);
    const seed = { snapshotRef: { name: 'one' } };
    const misseeded = await caches.createCache('misseeded', 'hurt', { seed });
    await waitFor(async () => (await stalled()) === 1, { what: 'stalled cache' });
    await caches.remove(misseeded);
    await lab.remove('nowhere');
  });

  it('a volume that is retained has no series any more, and is an orphan as the BtrfsNode has it', async () => {
    const kept = await lab.createVolume('kept', { nodeName: 'node-a', size: '256Mi', deletionPolicy: 'Retain' });
    await lab.ready('kept');
    await waitFor(() => sample(agent, 'btrfs_volume_size_bytes', 'name="kept"'), { what: 'series of the volume' });
    await lab.remove('kept');
    const orphan = await waitFor(
      async () => (await lab.btrfsNodes.get('node-a'))?.status.orphans?.find(({ uid }) => uid === kept.metadata.uid),
      { what: 'orphan in the status' },
    );
    await waitFor(async () => (await sample(agent, 'btrfs_node_orphans')) === 1, { what: 'orphan in metrics' });
    expect(await sample(agent, 'btrfs_node_orphan_bytes')).toBe(orphan.bytes);
    expect(await metricsOf(agent)).not.toContain('name="kept"');
  });

  it('a volume whose finalizer was removed by hand has no series any more, though the agent could do nothing', async () => {
    await lab.createVolume('torn', { nodeName: 'node-a', size: '256Mi' });
    await lab.ready('torn');
    await waitFor(() => sample(agent, 'btrfs_volume_size_bytes', 'name="torn"'), { what: 'series of the volume' });
    agent.kill('SIGSTOP');
    await lab.volumes.delete('default/torn');
    await lab.volumes.patch('default/torn', { metadata: { finalizers: null } }, { type: 'merge' });
    await lab.volumeGone('torn');
    agent.kill('SIGCONT');
    await waitFor(async () => !(await metricsOf(agent)).includes('name="torn"'), { what: 'end of the series' });
    await waitFor(async () => (await sample(agent, 'btrfs_node_orphans')) === 2, { what: 'orphan in metrics' });
    expect(await metricsOf(agent)).not.toContain('name="torn"');
  });

  it('deleted objects have no series any more, at the agent and at the controller', async () => {
    const snapshots = snapshotKit(lab);
    const caches = cacheKit(lab);
    await caches.remove(await caches.claimReady('job'));
    await caches.remove(await caches.cacheReady('cache'));
    await snapshots.remove('one');
    for (const name of ['vol', 'hurt']) await lab.remove(name);
    const about = (text: string) =>
      text.split('\n').filter((line) => /name="(vol|hurt|nowhere|cache|misseeded)"/.test(line));
    await waitFor(async () => about(await metricsOf(agent)).length === 0, { what: 'end of the series of the agent' });
    await waitFor(async () => about(await metricsOf(lab.controller)).length === 0, {
      what: 'end of those of the controller',
    });
    expect(await sample(lab.controller, 'btrfs_objects', 'kind="LoopbackVolume"')).toBeUndefined();
  });
});

/** The first block of a new file is overwritten in the image, and read: its checksum no longer fits. */
function damageFile(filePath: string, imagePath: string): void {
  const content = randomBytes(64 * 1024);
  writeFileSync(filePath, content);
  sh('sync', '-f', filePath);
  const offset = readFileSync(imagePath).indexOf(content.subarray(0, 4096));
  expect(offset).toBeGreaterThan(0);
  const image = openSync(imagePath, 'r+');
  writeSync(image, randomBytes(4096), 0, 4096, offset);
  closeSync(image);
  sh('sync', '-f', imagePath);
  // What the kernel still has in memory would be read from there.
  sh('dd', `of=${filePath}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none');
  const file = openSync(filePath, 'r');
  expect(() => readSync(file, Buffer.alloc(4096))).toThrow('EIO');
  closeSync(file);
}
