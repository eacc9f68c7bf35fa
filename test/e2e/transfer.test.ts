import { expect, test } from 'vitest';
import { btrfs, dataOf, installedStory } from './story.ts';

test('a snapshot is sent from node to node, whole and then as an increment, through pods', async () => {
  await using story = await installedStory();
  const { apply, get, inPod } = story;
  const [from, to] = story.nodes;
  const source = await story.volume('source', from);
  await story.volume('copy', to);
  await story.pod('writer', from, dataOf(source));

  await inPod('writer', 'head -c 50M /dev/urandom > /data/large; echo one > /data/small');
  const large = await inPod('writer', 'sha256sum < /data/large');
  await apply(snapshot('one', 'source', { volume: {} }));
  await apply(snapshot('one-there', 'copy', { snapshotRef: { name: 'one' } }));
  await story.waitFor('condition=Ready', 'bsnap/one-there');

  await inPod('writer', 'echo two > /data/small');
  await apply(snapshot('two', 'source', { volume: {} }));
  await apply(snapshot('two-there', 'copy', { snapshotRef: { name: 'two' } }));
  await story.waitFor('condition=Ready', 'bsnap/two-there');

  const first = await get('bsnap/one-there');
  const second = await get('bsnap/two-there');
  expect(second.status.nodeName).toBe(to.name);
  expect(first.status.transfer.bytes).toBeGreaterThan(50 * 2 ** 20);
  expect(second.status.transfer.bytes).toBeLessThan(2 ** 20);
  await story.pod('reader', to, second.status.path);
  expect(await inPod('reader', 'sha256sum < /data/large; cat /data/small')).toBe(`${large}two\n`);
});

function snapshot(name: string, volume: string, source: object): object {
  return { ...btrfs('Snapshot', name), spec: { volumeRef: { name: volume }, source } };
}
