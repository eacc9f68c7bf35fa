import type { ApiAccess } from './api.ts';

/** A kubeconfig for this access; JSON is YAML. */
export function kubeconfigOf({ url, caPem, token }: ApiAccess): string {
  const ca = Buffer.from(caPem).toString('base64');
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'local', cluster: { server: url, 'certificate-authority-data': ca } }],
      users: [{ name: 'user', user: { token } }],
      contexts: [{ name: 'local', context: { cluster: 'local', user: 'user', namespace: 'default' } }],
      'current-context': 'local',
    },
    undefined,
    2,
  )}\n`;
}
