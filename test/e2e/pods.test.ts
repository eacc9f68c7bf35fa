import { expect, inject, test } from 'vitest';
import { nodeAt } from './cluster/node.ts';
import { btrfs, dataOf, installedStory } from './story.ts';

test.each(inject('e2e').nodes.map(nodeAt))(
  'pods on $name write into a volume, read a snapshot of it, and work in a clone of a cache',
  async (node) => {
    await using story = await installedStory();
    const { apply, inPod, pod, get } = story;
    const volume = await story.volume('demo', node, { owner: { uid: 1000, gid: 1000 } });

    await pod('writer', node, dataOf(volume));
    await inPod('writer', 'echo before > /data/file; sync /data/file');
    await apply({ ...btrfs('Snapshot', 'demo-1'), spec: { volumeRef: { name: 'demo' }, source: { volume: {} } } });
    await story.waitFor('condition=Ready', 'bsnap/demo-1');
    await inPod('writer', 'echo after > /data/file');
    expect(await inPod('writer', 'stat --format=%u:%g /data')).toBe('1000:1000\n');

    const snapshot = await get('bsnap/demo-1');
    await pod('reader', node, snapshot.status.path);
    expect(await inPod('reader', 'cat /data/file')).toBe('before\n');
    await expect(inPod('reader', 'echo x > /data/file')).rejects.toThrow('Read-only file system');

    await apply({ ...btrfs('BuildCache', 'npm'), spec: { volumeRef: { name: 'demo' } } });
    await apply({ ...btrfs('BuildCacheClaim', 'job'), spec: { cacheRef: { name: 'npm' } } });
    await story.waitFor('condition=Ready', 'bclaim/job');
    const claim = await get('bclaim/job');
    await pod('job', node, claim.status.path);
    await inPod('job', 'echo built > /data/result');
    await story.kubectl(['delete', 'pod', 'job', '--now']);
    await story.kubectl(['patch', 'bclaim', 'job', '--type=merge', '--patch={"spec":{"release":"Publish"}}']);
    await story.waitFor('jsonpath={.status.outcome}=Published', 'bclaim/job');

    await apply({ ...btrfs('BuildCacheClaim', 'next-job'), spec: { cacheRef: { name: 'npm' } } });
    await story.waitFor('condition=Ready', 'bclaim/next-job');
    await pod('next-job', node, (await get('bclaim/next-job')).status.path);
    expect(await inPod('next-job', 'cat /data/result')).toBe('built\n');
  },
);

test('a volume that a pod has mounted waits in deletion and names the pod', async () => {
  await using story = await installedStory();
  const [node] = story.nodes;
  await story.pod('user', node, dataOf(await story.volume('demo', node)));
  await story.kubectl(['delete', 'lbv', 'demo', '--wait=false']);
  await expect
    .poll(() => story.kubectl(['get', 'lbv', 'demo', '--output=jsonpath={.status.conditions}']))
    .toContain(`pods ${story.namespace}/user`);
  await story.inPod('user', 'echo still here > /data/file');
  await story.kubectl(['delete', 'pod', 'user', '--now']);
  await story.waitFor('delete', 'lbv/demo');
  expect(node.loops()).toEqual([]);
});
