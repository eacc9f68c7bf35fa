import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ApiAccess, type ApiRequest, callApi } from './api.ts';
import { kubeconfigOf } from './kubeconfig.ts';

/** Of the agents: what the controller expects by default. */
const AGENT_ACCOUNT = 'btrfs-operator-agent';
const CONTROLLER_ACCOUNT = 'btrfs-operator-controller';
const YEAR_SECONDS = 365 * 86_400;

export interface IdentityOptions {
  readonly access: ApiAccess;
  /** Of the operator; has to exist. */
  readonly namespace: string;
  /** Gets the kubeconfig. */
  readonly dir: string;
}

export interface NodeIdentityOptions extends IdentityOptions {
  readonly nodeName: string;
  /** Default: that of the agents. */
  readonly serviceAccount?: string;
}

/**
 * Path of a kubeconfig with a token as the agent's pod on this node would have it: of the service account, bound to a pod
 * that is bound to the node, so that the API server tells the name of the node with each request. What the account may do
 * is said elsewhere. Safe to repeat.
 */
export async function createNodeKubeconfig(options: NodeIdentityOptions): Promise<string> {
  const { access, namespace, nodeName, serviceAccount = AGENT_ACCOUNT } = options;
  await ensureAccount(options, serviceAccount);
  const podName = `${serviceAccount}-${nodeName}`;
  await post(
    access,
    `/api/v1/namespaces/${namespace}/pods`,
    {
      metadata: { name: podName },
      spec: { nodeName, serviceAccountName: serviceAccount, containers: [{ name: 'agent', image: 'none' }] },
    },
    [201, 409],
  );
  const pod = await callApi(access, `/api/v1/namespaces/${namespace}/pods/${podName}`);
  const { uid } = pod.body.metadata;
  const token = await createToken(options, serviceAccount, { apiVersion: 'v1', kind: 'Pod', name: podName, uid });
  return writeKubeconfig(options, nodeName, token);
}

/** Path of a kubeconfig with a token of the controller's service account. Safe to repeat. */
export async function createControllerKubeconfig(options: IdentityOptions): Promise<string> {
  await ensureAccount(options, CONTROLLER_ACCOUNT);
  return writeKubeconfig(options, 'controller', await createToken(options, CONTROLLER_ACCOUNT));
}

async function ensureAccount({ access, namespace }: IdentityOptions, name: string): Promise<void> {
  await post(access, `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } }, [201, 409]);
}

async function createToken(
  { access, namespace }: IdentityOptions,
  serviceAccount: string,
  boundObjectRef?: object,
): Promise<string> {
  const answer = await post(
    access,
    `/api/v1/namespaces/${namespace}/serviceaccounts/${serviceAccount}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: YEAR_SECONDS, ...(boundObjectRef === undefined ? {} : { boundObjectRef }) },
    },
    [201],
  );
  return answer.status.token;
}

function writeKubeconfig({ access, dir }: IdentityOptions, name: string, token: string): string {
  mkdirSync(dir, { recursive: true });
  const kubeconfigPath = path.join(dir, `kubeconfig-${name}`);
  writeFileSync(kubeconfigPath, kubeconfigOf({ ...access, token }), { mode: 0o600 });
  return kubeconfigPath;
}

async function post(access: ApiAccess, collection: string, body: ApiRequest['body'], expected: readonly number[]) {
  const answer = await callApi(access, collection, { method: 'POST', body });
  if (expected.includes(answer.status)) return answer.body;
  throw new Error(`POST ${collection}: ${answer.status} ${JSON.stringify(answer.body)}`);
}
