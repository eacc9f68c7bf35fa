import { expect, test } from 'vitest';
import { waitFor } from '../cluster/wait-for.ts';
import type { Node } from './cluster/node.ts';
import {
  COUNTER,
  dataOf,
  expectUndisturbed,
  installedStory,
  mountsOf,
  OPERATOR_NAMESPACE,
  type Story,
} from './story.ts';

const AGENT = ['--namespace', OPERATOR_NAMESPACE, '--selector=app.kubernetes.io/component=agent'];
test('a pod goes on writing while its agent is killed, and while the DaemonSet is rolled', async () => {
  await using story = await installedStory();
  const [node] = story.nodes;
  const volume = await story.volume('demo', node);
  await story.pod('writer', node, dataOf(volume), COUNTER);
  const mounts = mountsOf(volume, node);
  expect(mounts).toHaveLength(1);

  const killed = await agentOn(story, node);
  await story.kubectl(['delete', 'pod', killed, '--namespace', OPERATOR_NAMESPACE, '--grace-period=0', '--force']);
  await newAgent(story, node, killed);
  await grow(story, '640Mi');
  expect(mountsOf(volume, node)).toEqual(mounts);

  const rolled = await agentOn(story, node);
  await story.kubectl(['rollout', 'restart', 'daemonset', ...AGENT]);
  await story.kubectl(['rollout', 'status', 'daemonset', '--timeout=170s', ...AGENT], { timeoutMs: 180_000 });
  await newAgent(story, node, rolled);
  await grow(story, '768Mi');

  expect(mountsOf(volume, node)).toEqual(mounts);
  expect(node.loops()).toHaveLength(1);
  await expectUndisturbed(story, 'writer');
});

async function agentOn({ kubectl }: Story, node: Node): Promise<string> {
  const onNode = `--field-selector=spec.nodeName=${node.name}`;
  const name = await kubectl(['get', 'pods', ...AGENT, onNode, '--output=jsonpath={.items[*].metadata.name}']);
  if (name === '' || name.includes(' ')) throw new Error(`not one agent on ${node.name}: "${name}"`);
  return name;
}

async function newAgent(story: Story, node: Node, old: string): Promise<void> {
  const name = await waitFor(async () => [await agentOn(story, node)].find((each) => each !== old), {
    what: `new agent on ${node.name}`,
    timeoutMs: 60_000,
  });
  await story.kubectl(
    ['wait', '--for=condition=Ready', '--timeout=90s', '--namespace', OPERATOR_NAMESPACE, `pod/${name}`],
    {
      timeoutMs: 100_000,
    },
  );
}

/** The agent that is there now works on the volume. */
async function grow(story: Story, size: string): Promise<void> {
  await story.kubectl(['patch', 'lbv', 'demo', '--type=merge', `--patch={"spec":{"size":"${size}"}}`]);
  const bytes = Number.parseInt(size, 10) * 2 ** 20;
  await story.waitFor(`jsonpath={.status.sizeBytes}=${bytes}`, 'lbv/demo');
}
