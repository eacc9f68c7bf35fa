import { expect, test } from 'vitest';
import { waitFor } from '../cluster/wait-for.ts';
import type { Node } from './cluster/node.ts';
import { dataOf, installedStory, OPERATOR_NAMESPACE, type Story } from './story.ts';

const AGENT = ['--namespace', OPERATOR_NAMESPACE, '--selector=app.kubernetes.io/component=agent'];
/** Ends, and so its pod is restarted, at the first write that fails. */
const WRITER = 'i=0; while :; do echo $((i += 1)) >> /data/log; sync /data/log; sleep 0.05; done';

test('a pod goes on writing while its agent is killed, and while the DaemonSet is rolled', async () => {
  await using story = await installedStory();
  const [node] = story.nodes;
  if (node === undefined) throw new Error('no node');
  const volume = await story.volume('demo', node);
  const uid = volume.metadata.uid;
  await story.pod('writer', node, dataOf(volume), WRITER);
  const mounted = mountOf(node, uid);

  const killed = await agentOn(story, node);
  await story.kubectl(['delete', 'pod', killed, '--namespace', OPERATOR_NAMESPACE, '--grace-period=0', '--force']);
  await newAgent(story, node, killed);
  await grow(story, '640Mi');
  expect(mountOf(node, uid)).toBe(mounted);

  const rolled = await agentOn(story, node);
  await story.kubectl(['rollout', 'restart', 'daemonset', ...AGENT]);
  await story.kubectl(['rollout', 'status', 'daemonset', '--timeout=170s', ...AGENT], { timeoutMs: 180_000 });
  await newAgent(story, node, rolled);
  await grow(story, '768Mi');

  expect(mountOf(node, uid)).toBe(mounted);
  expect(node.loops()).toHaveLength(1);
  const pod = await story.get('pod/writer');
  expect(pod.status.containerStatuses[0].restartCount).toBe(0);
  const lines = (await story.inPod('writer', 'cat /data/log')).trimEnd().split('\n').map(Number);
  expect(lines).toEqual(lines.map((_, index) => index + 1));
});

/** The line of the node's mount table with the id of the mount, which a new mount would not have. */
function mountOf(node: Node, uid: string): string {
  const lines = node
    .mountInfo()
    .split('\n')
    .filter((line) => line.includes(`/volumes/${uid} `));
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

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
