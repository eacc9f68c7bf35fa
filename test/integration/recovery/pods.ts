import type { Lab } from '../lab.ts';

/** A pod of the node with a hostPath volume, as the scheduler would leave it; no kubelet starts it. */
export async function createPod(lab: Lab, name: string, hostPath: string, nodeName = 'node-a'): Promise<void> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: {
      nodeName,
      containers: [{ name: 'main', image: 'example.invalid/none' }],
      volumes: [{ name: 'data', hostPath: { path: hostPath } }],
    },
  };
  await lab.kubectl(['create', '--filename=-'], { stdin: JSON.stringify(pod) });
}

/** The pods are gone at once: no kubelet has to end them. */
export async function deletePods(lab: Lab, ...names: readonly string[]): Promise<void> {
  await lab.kubectl(['delete', 'pods', ...names, '--namespace=default', '--grace-period=0', '--force']);
}
