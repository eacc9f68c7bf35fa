import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { btrfs, installedStory } from './story.ts';

test('objects of a node that was deleted for good can be deleted; what is on it is an orphan when it comes back', async () => {
  await using story = await installedStory();
  const { kubectl } = story;
  const [, node] = story.nodes;
  const volume = await story.volume('lost', node);
  await story.apply({ ...btrfs('Snapshot', 'lost-1'), spec: { volumeRef: { name: 'lost' }, source: { volume: {} } } });
  await story.waitFor('condition=Ready', 'bsnap/lost-1');

  await node.powerOff();
  await story.waitFor('condition=Ready=Unknown', 'lbv/lost');
  expect(
    await kubectl(['get', 'lbv', 'lost', '--output=jsonpath={.status.conditions[?(@.type=="Ready")].reason}']),
  ).toBe('NodeLost');
  await kubectl(['delete', 'bsnap', 'lost-1', '--wait=false']);
  await kubectl(['delete', 'lbv', 'lost', '--wait=false']);
  // As long as the node may come back, its data is waited for.
  await expect(kubectl(['wait', '--for=delete', 'lbv/lost', '--timeout=10s'])).rejects.toThrow('timed out');
  await kubectl(['delete', 'node', node.name]);
  await story.waitFor('delete', 'lbv/lost', 'bsnap/lost-1');

  await node.powerOn();
  const orphan = `jsonpath={.status.orphans[?(@.uid=="${volume.metadata.uid}")].name}`;
  await expect
    .poll(() => kubectl(['get', `btrfsnode/${node.name}`, `--output=${orphan}`]), { timeout: 240_000 })
    .toBe('lost');
  const images = path.join(node.rootPath, 'images');
  expect(readdirSync(images)).toEqual([`${volume.metadata.uid}.img`]);
  await kubectl([
    'annotate',
    `btrfsnode/${node.name}`,
    '--overwrite',
    `btrfs-operator.io/remove-orphans=${volume.metadata.uid}`,
  ]);
  await expect.poll(() => readdirSync(images)).toEqual([]);
  await kubectl(['annotate', `btrfsnode/${node.name}`, 'btrfs-operator.io/remove-orphans-']);
});
