import { expect, test } from 'vitest';
import type { Node } from './cluster/node.ts';
import { installedStory } from './story.ts';

/** What `make bench` aims at, and room for what a process has just done. A stack trace read through a source map costs 60. */
const MAX_RESIDENT_MIB = 125;
const VOLUMES_PER_NODE = 5;

test('controller and agents, from the image and with volumes, hold as little memory as make bench says', async () => {
  await using story = await installedStory();
  for (const node of story.nodes)
    for (let index = 0; index < VOLUMES_PER_NODE; index++) await story.volume(`${node.name}-${index}`, node);
  const found = (await Promise.all(story.nodes.map(operatorsOn))).flat();
  console.log(found.map(({ subcommand, mebibytes }) => `${subcommand}: ${mebibytes} MiB resident`).join('\n'));
  expect(found.map(({ subcommand }) => subcommand).toSorted()).toEqual(['agent', 'agent', 'controller']);
  expect(found.filter(({ mebibytes }) => mebibytes > MAX_RESIDENT_MIB)).toEqual([]);
});

async function operatorsOn(node: Node): Promise<{ readonly subcommand: string; readonly mebibytes: number }[]> {
  const script = `for pid in $(pgrep -f '^node /usr/lib/btrfs-operator/'); do
    echo "$(tr '\\0' ' ' < /proc/$pid/cmdline | cut -d ' ' -f 3) $(awk '/^VmRSS/ { print int($2 / 1024) }' /proc/$pid/status)"
  done`;
  const lines = (await node.run('bash', ['-ec', script])).trim().split('\n').filter(Boolean);
  return lines
    .map((line) => line.split(' '))
    .map(([subcommand = '', size]) => ({ subcommand, mebibytes: Number(size) }));
}
