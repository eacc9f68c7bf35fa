import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ApiAccess, type ApiRequest, callApi } from './api.ts';
import { kubeconfigOf } from './kubeconfig.ts';
import { waitFor } from './wait-for.ts';

/** Of the agents: what the controller expects by default. */
const SERVICE_ACCOUNT = 'btrfs-operator-agent';
const YEAR_SECONDS = 365 * 86_400;

export interface NodeIdentityOptions {
  readonly access: ApiAccess;
  /** Of the operator; has to exist. */
  readonly namespace: string;
  readonly nodeName: string;
  /** Default: that of the agents. */
  readonly serviceAccount?: string;
}

/**
 * A token as the agent's pod on this node would have it: of the service account, bound to a pod that is bound to the node,
 * so that the API server tells the name of the node with each request. The account may do everything. Safe to repeat.
 */
async function createNodeToken(options: NodeIdentityOptions): Promise<string> {
  const { access, namespace, nodeName, serviceAccount = SERVICE_ACCOUNT } = options;
  const ensure = (collection: string, body: object) => post(access, collection, body, [201, 409]);
  await ensure(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: serviceAccount } });
  await ensure('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `${serviceAccount}-${namespace}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace, name: serviceAccount }],
  });
  const podName = `${serviceAccount}-${nodeName}`;
  await ensure(`/api/v1/namespaces/${namespace}/pods`, {
    metadata: { name: podName },
    spec: { nodeName, serviceAccountName: serviceAccount, containers: [{ name: 'agent', image: 'none' }] },
  });
  const pod = await callApi(access, `/api/v1/namespaces/${namespace}/pods/${podName}`);
  const { uid } = pod.body.metadata;
  const answer = await post(
    access,
    `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        expirationSeconds: YEAR_SECONDS,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: podName, uid },
      },
    },
    [201],
  );
  const { token } = answer.status;
  // The API server learns of the new binding by a watch of its own.
  await waitFor(async () => (await callApi({ ...access, token }, '/api/v1/nodes')).status === 200, {
    what: `permission for ${serviceAccount}`,
  });
  return token;
}

/** Path of a kubeconfig in `dir` with such a token. */
export async function createNodeKubeconfig(options: NodeIdentityOptions & { readonly dir: string }): Promise<string> {
  const { access, dir, nodeName } = options;
  mkdirSync(dir, { recursive: true });
  const kubeconfigPath = path.join(dir, `kubeconfig-${nodeName}`);
  const token = await createNodeToken(options);
  writeFileSync(kubeconfigPath, kubeconfigOf({ ...access, token }), { mode: 0o600 });
  return kubeconfigPath;
}

async function post(access: ApiAccess, collection: string, body: ApiRequest['body'], expected: readonly number[]) {
  const answer = await callApi(access, collection, { method: 'POST', body });
  if (expected.includes(answer.status)) return answer.body;
  throw new Error(`POST ${collection}: ${answer.status} ${JSON.stringify(answer.body)}`);
}
