import { expect, inject, test } from 'vitest';
import { createKubectl } from '../cluster/kubectl.ts';

test('two nodes run pods', async () => {
  const { kubeconfigPath, assetsDir } = inject('e2e');
  const kubectl = createKubectl(assetsDir, kubeconfigPath);
  for (const node of ['node-a', 'node-b'])
    await kubectl([
      'run',
      node,
      '--image=e2e.test/debian:13',
      `--overrides={"spec":{"nodeName":"${node}"}}`,
      '--',
      'sleep',
      'infinity',
    ]);
  console.log(
    await kubectl(['wait', '--for=condition=Ready', '--timeout=120s', 'pod', '--all'], { timeoutMs: 130_000 }).catch(
      String,
    ),
  );
  console.log(await kubectl(['get', 'nodes,pods', '-A', '-o', 'wide']), await kubectl(['get', 'events', '-A']));
  expect(await kubectl(['exec', 'node-a', '--', 'echo', 'hi'])).toBe('hi\n');
});
