import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, inject, it } from 'vitest';
import { waitFor } from '../../cluster/wait-for.ts';
import { manifestOf } from '../../crash/file-tree.ts';
import { caches, controlPlane, kit, lab, snapshots, useAdoptionLab } from '../../integration/adoption/file-lab.ts';
import { NODE } from '../../integration/adoption/kit.ts';
import { cloneOf, conditionOf } from '../../integration/caches/kit.ts';
import { dataPathOf } from '../../integration/lab.ts';
import { mountsBelow } from '../../integration/recovery/host-view.ts';
import { pathOf } from '../../integration/snapshots/kit.ts';

const run = promisify(execFile);
const repositoryPath = path.resolve(import.meta.dirname, '../../..');

useAdoptionLab('own control plane');

/** The commands of a page under a heading, in order. */
function commandsUnder(heading: string): readonly string[] {
  const page = readFileSync(path.join(repositoryPath, 'docs/operations.md'), 'utf8');
  const section = page.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? '';
  return [...section.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, commands = '']) => commands);
}

/** As a person at a shell does. */
async function shell(commands: string): Promise<string> {
  const env = { PATH: `${inject('assetsDir')}:${process.env.PATH}`, KUBECONFIG: lab.kubeconfigPath, HOME: lab.dir };
  return (await run('bash', ['--norc', '-euo', 'pipefail', '-c', commands], { cwd: lab.dir, env })).stdout;
}

/** Everything that there is of the operator's objects: what each holds, by kind and name. */
async function contents(): Promise<Record<string, string | undefined>> {
  const [vol, put] = [await lab.ready('vol'), await lab.ready('unmounted')];
  const [committed, writable] = [await snapshots.ready('committed'), await snapshots.ready('writable')];
  const cache = await caches.cacheThat(
    'npm',
    (each) => conditionOf(each, 'Ready')?.status === 'True' && each.status.currentGeneration === 2,
  );
  return {
    volume: await manifestOf(dataPathOf(vol)),
    filesystem: vol.status.filesystemUUID,
    unmounted: await manifestOf(dataPathOf(put)),
    committed: await manifestOf(pathOf(committed)),
    committedUUID: committed.status.uuid,
    writable: await manifestOf(pathOf(writable)),
    writableUUID: writable.status.uuid,
    cache: JSON.stringify(cache.status.generations?.map(({ generation, uuid }) => [generation, uuid])),
  };
}

const write = (dir: string, content: string) => writeFileSync(path.join(dir, 'file'), content);
const NAMES = ['committed', 'npm', 'unmounted', 'vol', 'writable'];
const listed = async () => (await kit.btrfsNode())?.status.orphans ?? [];

it('C8 C2 agent: after etcd was lost all data is there and listed, and comes back by the commands of docs/operations.md', async () => {
  await lab.createVolume('vol', { nodeName: NODE });
  await lab.createVolume('unmounted', { size: '256Mi', nodeName: NODE });
  for (const name of ['vol', 'unmounted']) write(dataPathOf(await lab.ready(name)), name);
  await snapshots.create('committed', 'vol');
  await snapshots.create('writable', 'unmounted', { access: 'ReadWrite' });
  write(pathOf(await snapshots.ready('writable')), 'writable');
  await caches.createCache('npm', 'vol');
  write(cloneOf(await caches.startJob('first', 'npm')), 'first');
  await caches.endJob('first');
  const working = await caches.startJob('working', 'npm');
  write(cloneOf(working), 'working');
  const before = await contents();
  const mounts = mountsBelow(lab.rootPath(NODE));

  await kit.endOperators();
  for (const commands of commandsUnder('Uninstalling without losing volumes')) await shell(commands);
  await controlPlane.applyManifests([path.join(repositoryPath, 'crds')]);
  expect(await shell('kubectl get btrfs -A')).toBe('');
  await kit.startOperators();
  await kit.orphansThat((orphans) => orphans.length === NAMES.length + 1);
  // Of what is mounted: nothing was unmounted, or mounted anew.
  expect(mountsBelow(lab.rootPath(NODE))).toEqual(mounts);
  expect((await listed()).map(({ name }) => name).toSorted()).toEqual([...NAMES, 'working'].toSorted());

  const [see = '', namespaces = '', manifests = '', create = ''] = commandsUnder('When etcd is lost or restored');
  const shown = await shell(see);
  for (const name of NAMES)
    expect(shown).toMatch(new RegExp(`^${NODE} \\w+ default/${name} [0-9a-f-]{36} since 20`, 'm'));
  await shell(namespaces);
  await shell(manifests);
  await shell(create);
  expect(await contents()).toEqual(before);
  const next = await caches.startJob('next', 'npm');
  expect(readFileSync(path.join(cloneOf(next), 'file'), 'utf8')).toBe('first');
  await kit.orphansThat((orphans) => orphans.length === 1);
  const [left] = await listed();
  expect(left).toMatchObject({ uid: working.metadata.uid, kind: 'BuildCacheClaim', volume: 'vol' });
  const { mountPath = '' } = (await lab.ready('vol')).status;
  const clonePath = path.join(mountPath, 'claims', working.metadata.uid, 'rw/file');
  expect(readFileSync(clonePath, 'utf8')).toBe('working');
  await shell(`kubectl annotate btrfsnode ${NODE} btrfs-operator.io/remove-orphans=${working.metadata.uid}`);
  await waitFor(async () => (await listed()).length === 0, { what: 'end of the clone' });
});

it('C8 agent: a node that was started anew shows what lies in its volumes once they are adopted', async () => {
  const before = await contents();
  const volumes = [await lab.ready('vol'), await lab.ready('unmounted')];
  await kit.endOperators();
  for (const commands of commandsUnder('Uninstalling without losing volumes')) await shell(commands);
  for (const { status } of volumes) await shell(`umount ${status.mountPath}; losetup --detach ${status.loopDevice}`);
  await controlPlane.applyManifests([path.join(repositoryPath, 'crds')]);
  await kit.startOperators();
  const [, , manifests = '', create = ''] = commandsUnder('When etcd is lost or restored');
  // The volumes; then two Snapshots, a cache and a clone in them; the clone is left.
  for (const count of [volumes.length, 4]) {
    await kit.orphansThat((orphans) => orphans.length === count);
    await shell(manifests);
    await shell(create);
    for (const name of ['vol', 'unmounted']) await lab.ready(name);
  }
  await kit.orphansThat((orphans) => orphans.length === 1);
  expect(await contents()).toEqual(before);
});
