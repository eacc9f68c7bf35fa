import { expect, test } from 'vitest';
import { waitFor } from '../cluster/wait-for.ts';
import { btrfs, dataOf, installedStory } from './story.ts';

test('after a reboot of its node a volume is back without help, with its snapshots, clones and pods', async () => {
  await using story = await installedStory();
  const [, node] = story.nodes;
  const volume = await story.volume('demo', node);
  await story.pod('user', node, dataOf(volume));
  await story.inPod('user', 'echo kept > /data/file');
  await story.apply({ ...btrfs('Snapshot', 'demo-1'), spec: { volumeRef: { name: 'demo' }, source: { volume: {} } } });
  await story.apply({ ...btrfs('BuildCache', 'npm'), spec: { volumeRef: { name: 'demo' } } });
  await story.apply({ ...btrfs('BuildCacheClaim', 'job'), spec: { cacheRef: { name: 'npm' } } });
  await story.waitFor('condition=Ready', 'bsnap/demo-1', 'bcache/npm', 'bclaim/job');
  expect(node.loops()).toHaveLength(1);

  await node.powerOff();
  expect(node.loops()).toEqual([]);
  await node.powerOn();

  await waitFor(() => node.mountInfo().includes(`/volumes/${volume.metadata.uid} `), {
    what: 'mount of the volume',
    timeoutMs: 90_000,
    everyMs: 500,
  });
  await waitFor(() => story.inPod('user', 'cat /data/file').then((text) => text === 'kept\n'), {
    what: 'pod that reads its file again',
    timeoutMs: 90_000,
    everyMs: 1000,
  });
  await story.waitFor('condition=Ready', 'lbv/demo', 'bsnap/demo-1', 'bcache/npm', 'bclaim/job');
  await story.pod('job', node, (await story.get('bclaim/job')).status.path);
  expect(node.loops()).toHaveLength(1);
});
