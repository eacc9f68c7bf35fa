import { statSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildCache, buildCacheDefinition, buildCacheType } from '../../src/api/build-cache.ts';
import { findCondition } from '../../src/api/conditions.ts';
import { crdOf } from '../../src/api/crd.ts';
import { loopbackVolumeDefinition } from '../../src/api/loopback-volume.ts';
import { type Snapshot, snapshotDefinition, snapshotType } from '../../src/api/snapshot.ts';
import { createResourceClient } from '../../src/kube/resource-client.ts';
import type { OperatorProcess } from '../cluster/processes.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { startOwnControlPlane } from './controller/cluster.ts';
import { type Lab, startLab } from './lab.ts';
import { loopsOf, mountsBelow, sh } from './recovery/host-view.ts';

let lab: Lab;
let agent: OperatorProcess;
beforeAll(async () => {
  lab = await startLab(await startOwnControlPlane());
  agent = await lab.startAgent('node-a');
  await serveNewerCrds();
});
afterAll(() => lab?.[Symbol.asyncDispose]());

/** CRDs of a version to come: they take values that nobody here has heard of. */
async function serveNewerCrds(): Promise<void> {
  type Field = { enum: string[]; maximum?: number; 'x-kubernetes-validations'?: unknown };
  const change = async (definition: typeof loopbackVolumeDefinition, edit: (fields: Record<string, Field>) => void) => {
    const crd = JSON.parse(JSON.stringify(crdOf(definition)));
    edit(crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties);
    await lab.kubectl(['apply', '--server-side', '--force-conflicts', '-f-'], { stdin: JSON.stringify(crd) });
  };
  await change(loopbackVolumeDefinition, ({ size, discard }) => {
    delete size?.['x-kubernetes-validations'];
    discard?.enum.push('Lazy');
  });
  await change(snapshotDefinition, ({ access }) => void access?.enum.push('Shared'));
  await change(buildCacheDefinition, ({ pinnedGeneration }) => delete pinnedGeneration?.maximum);
  const taken = async () => {
    const object = { metadata: { namespace: 'default', name: 'dry' }, spec: { size: '300Mi', discard: 'Lazy' } };
    return await lab.volumes.create(object).catch(() => undefined);
  };
  await waitFor(taken, { what: 'newer CRD', timeoutMs: 20_000 });
}

const metric = async (url: string, name: string) => {
  const lines = (await (await fetch(new URL('/metrics', url))).text()).split('\n');
  return lines.filter((line) => line.startsWith(name));
};

test('F29 F33 an object that cannot be read says so, is the trouble of nobody else, and can be deleted', async () => {
  lab.showLogsOnFailure();
  const snapshots = createResourceClient<Snapshot>(lab.transport, snapshotType);
  const caches = createResourceClient<BuildCache>(lab.transport, buildCacheType);
  const at = (name: string) => ({ namespace: 'default', name });
  // As far as it is understood.
  expect((await lab.ready('dry')).status.mountOptions?.join()).toContain('discard=async');
  await lab.createVolume('evil', { size: '300Mi' });
  const evil = await lab.ready('evil');
  await snapshots.create({ metadata: at('odd'), spec: { volumeRef: { name: 'dry' }, access: 'Shared' } } as never);
  await caches.create({ metadata: at('pinned'), spec: { volumeRef: { name: 'dry' }, pinnedGeneration: 2 ** 53 } });
  await lab.change('evil', { size: 'lots' });
  const said = await lab.withReason('evil', 'Ready', 'Unreadable');
  expect(findCondition(said.status.conditions, 'Stalled')?.message).toMatch(/evil: spec\.size: .*got "lots"; correct/);
  expect(said.status.mountPath).toBe(evil.status.mountPath);
  await lab.event(evil, 'Unreadable');
  const refused = async (object: Snapshot | BuildCache | undefined) =>
    findCondition(object?.status.conditions, 'Ready')?.reason === 'Unreadable' ||
    findCondition(object?.status.conditions, 'Scheduled')?.reason === 'Unreadable';
  await waitFor(async () => refused(await snapshots.get('default/odd')), { what: 'unreadable Snapshot' });
  await waitFor(async () => refused(await caches.get('default/pinned')), { what: 'unreadable BuildCache' });
  expect(await metric(await lab.controller.metricsUrl(), 'btrfs_objects_unreadable{')).toEqual(
    expect.arrayContaining([expect.stringMatching(/LoopbackVolume.* 2$/), expect.stringMatching(/Snapshot.* 1$/)]),
  );
  // Neither its node nor its neighbours stand still.
  await lab.createVolume('after', { size: '300Mi' });
  await lab.ready('after');
  await lab.change('after', { size: '400Mi' });
  expect((await lab.ready('after')).status.sizeBytes).toBe(400 * 2 ** 20);
  await Promise.all([snapshots.delete('default/odd'), caches.delete('default/pinned')]);
  for (const name of ['evil', 'dry', 'after']) await lab.remove(name);
  const image = path.join(lab.rootPath('node-a'), 'images', `${evil.metadata.uid}.img`);
  expect(() => statSync(image)).toThrow('ENOENT');
});

test('F29 after a reboot an object that cannot be read holds up no other, and comes up when it is mended', async () => {
  lab.showLogsOnFailure();
  await Promise.all(['lost', 'well'].map((name) => lab.createVolume(name, { size: '300Mi' })));
  const volumes = await Promise.all(['lost', 'well'].map((name) => lab.ready(name)));
  await lab.change('lost', { size: 'lots' });
  await lab.withReason('lost', 'Ready', 'Unreadable');
  agent.kill('SIGKILL');
  await agent.exited;
  for (const { status } of volumes) {
    sh('umount', status.mountPath ?? '');
    sh('losetup', '--detach', status.loopDevice ?? '');
  }
  expect(mountsBelow(lab.rootPath('node-a'))).toEqual([]);
  agent = await lab.startAgent('node-a');
  const [lost, well] = volumes.map(({ status }) => status.imagePath ?? '');
  await waitFor(() => loopsOf(well ?? '').length === 1 && mountsBelow(lab.rootPath('node-a')).length === 1, {
    what: 'mount of the other volume',
  });
  await lab.ready('well');
  expect(loopsOf(lost ?? '')).toEqual([]);
  await lab.withReason('lost', 'Ready', 'Unreadable');
  await lab.change('lost', { size: '300Mi' });
  await lab.ready('lost');
  expect(mountsBelow(lab.rootPath('node-a'))).toHaveLength(2);
  for (const name of ['lost', 'well']) await lab.remove(name);
});
