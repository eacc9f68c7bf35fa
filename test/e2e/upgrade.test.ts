import path from 'node:path';
import { expect, inject, test } from 'vitest';
import { OPERATOR_IMAGE } from './cluster/node.ts';
import {
  COUNTER,
  dataOf,
  expectUndisturbed,
  installedStory,
  mountsOf,
  OPERATOR_NAMESPACE,
  repositoryPath,
} from './story.ts';

test('an upgrade of the chart replaces controller and agents under a pod that writes', async () => {
  await using story = await installedStory();
  const { helm, kubectl } = story;
  const [node] = story.nodes;
  const volume = await story.volume('demo', node);
  await story.pod('writer', node, dataOf(volume), COUNTER);
  const mounts = mountsOf(volume, node);

  const charts = path.join(inject('e2e').runDir, 'charts');
  const chart = path.join(repositoryPath, 'charts/btrfs-operator');
  await helm(['package', chart, '--version=99.0.0', '--app-version=next', `--destination=${charts}`]);
  const place = ['--namespace', OPERATOR_NAMESPACE, '--wait', '--timeout=4m', '--reset-then-reuse-values'];
  await helm(['upgrade', 'btrfs-operator', path.join(charts, 'btrfs-operator-99.0.0.tgz'), ...place]);

  const images = await kubectl([
    ...['get', 'pods', '--namespace', OPERATOR_NAMESPACE, '--field-selector=status.phase=Running'],
    '--output=jsonpath={.items[*].spec.containers[*].image}',
  ]);
  expect(new Set(images.split(' '))).toEqual(new Set([`${OPERATOR_IMAGE}:next`]));
  expect(mountsOf(volume, node)).toEqual(mounts);
  await kubectl(['patch', 'lbv', 'demo', '--type=merge', '--patch={"spec":{"size":"1Gi"}}']);
  await story.waitFor(`jsonpath={.status.sizeBytes}=${2 ** 30}`, 'lbv/demo');
  await expectUndisturbed(story, 'writer');
});
