import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { OPERATOR_IMAGE } from './cluster/node.ts';
import { OPERATOR_NAMESPACE, openStory, repositoryPath, shell, uninstall } from './story.ts';

test('a stranger follows the install section of the README and gets a Ready volume on each node', async () => {
  await using story = await openStory();
  await uninstall(story);
  await story.kubectl(['delete', 'namespace', OPERATOR_NAMESPACE, '--ignore-not-found', '--timeout=60s']);
  const output = shell(story, installSection(), { IMAGE: OPERATOR_IMAGE });
  console.log(output);
  const volumes = JSON.parse(await story.kubectl(['get', 'lbv', '--namespace=default', '--output=json']));
  const found = volumes.items.map((volume: LoopbackVolume) => volume.status.nodeName);
  expect(found.toSorted()).toEqual(['node-a', 'node-b']);
  await story.kubectl(['delete', 'lbv', '--all', '--namespace=default', '--timeout=60s']);
});

/** The commands of the README's section, as they stand there. */
function installSection(): string {
  const readme = readFileSync(path.join(repositoryPath, 'README.md'), 'utf8');
  const section = /^## Install\n(.*?)^## /ms.exec(readme)?.[1] ?? '';
  return [...section.matchAll(/^ {4}(.*)\n/gm)].map(([, command]) => command).join('\n');
}
