import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Node } from './cluster/node.ts';
import {
  btrfs,
  dataOf,
  install,
  installedStory,
  mountsOf,
  openStory,
  repositoryPath,
  shell,
  uninstall,
} from './story.ts';

test('uninstalled with its objects kept, volumes go on working; installed again, it goes on where it was', async () => {
  await using story = await installedStory();
  const [node] = story.nodes;
  const volume = await story.volume('demo', node);
  await story.pod('user', node, dataOf(volume));
  const mounts = mountsOf(volume, node);

  await uninstall(story);
  await story.inPod('user', 'echo kept > /data/file; sync /data/file');
  expect(await story.kubectl(['get', 'lbv', '--output=name'])).toBe('loopbackvolume.btrfs-operator.io/demo\n');

  await install(story);
  await story.kubectl(['patch', 'lbv', 'demo', '--type=merge', '--patch={"spec":{"size":"1Gi"}}']);
  await story.waitFor(`jsonpath={.status.sizeBytes}=${2 ** 30}`, 'lbv/demo');
  expect(mountsOf(volume, node)).toEqual(mounts);
  expect(await story.inPod('user', 'cat /data/file')).toBe('kept\n');
});

test('uninstalled with its objects deleted and its data retained; installed again, the data is adopted', async () => {
  await using story = await installedStory();
  const [node] = story.nodes;
  const volume = await story.volume('demo', node, { deletionPolicy: 'Retain' });
  await story.pod('user', node, dataOf(volume));
  await story.inPod('user', 'echo kept > /data/file');
  await story.kubectl(['delete', 'pod', 'user', '--now']);
  await story.kubectl(['delete', 'lbv', 'demo', '--timeout=60s']);
  await uninstall(story);
  expect(node.loops()).toEqual([]);

  await install(story);
  await story.apply({
    ...btrfs('LoopbackVolume', 'demo'),
    spec: { size: '512Mi', source: { adopt: { uid: volume.metadata.uid } } },
  });
  await story.waitFor('condition=Ready', 'lbv/demo');
  const adopted = await story.get('lbv/demo');
  expect(adopted.status.nodeName).toBe(node.name);
  expect(adopted.status.filesystemUUID).toBe(volume.status.filesystemUUID);
  await story.pod('user', node, dataOf(adopted));
  expect(await story.inPod('user', 'cat /data/file')).toBe('kept\n');
});

test('uninstalled as docs/operations.md says, nothing of it is left in the cluster or on the nodes', async () => {
  await using story = await openStory();
  await install(story);
  for (const node of story.nodes) await story.volume(`on-${node.name}`, node);
  shell(story, commandsOf('Uninstall'));
  expect(await story.kubectl(['get', 'crd', '--output=name'])).not.toContain('btrfs-operator.io');
  const kinds =
    'clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses';
  expect(await story.kubectl(['get', kinds, '--output=name'])).not.toContain('btrfs-operator');
  for (const node of story.nodes) {
    expect(node.loops()).toEqual([]);
    expect(node.mountInfo()).not.toContain('btrfs ');
    expect(filesOf(node)).toEqual([]);
  }
});

function filesOf({ rootPath }: Node): string[] {
  return ['images', 'records', 'volumes'].flatMap((room) => readdirSync(path.join(rootPath, room)));
}

/** The commands of a section of docs/operations.md. */
function commandsOf(title: string): string {
  const page = readFileSync(path.join(repositoryPath, 'docs/operations.md'), 'utf8');
  const [, section = ''] = new RegExp(`^## ${title}\\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(page) ?? [];
  const commands = [...section.matchAll(/^ {4}(.*)\n/gm)].map(([, command]) => command).join('\n');
  if (commands === '') throw new Error(`docs/operations.md has no commands under ${title}`);
  return commands;
}
