import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type ApiAccess, type ApiRequest, callApi } from './api.ts';
import { kubeconfigOf } from './kubeconfig.ts';

/** Of the agents: what the controller expects by default. */
const AGENT_ACCOUNT = 'btrfs-operator-agent';
const CONTROLLER_ACCOUNT = 'btrfs-operator-controller';
const MAX_NAME_LENGTH = 253;
const YEAR_SECONDS = 365 * 86_400;

export interface IdentityOptions {
  readonly access: ApiAccess;
  /** Of the operator; has to exist. */
  readonly namespace: string;
}

export interface NodeIdentityOptions extends IdentityOptions {
  readonly nodeName: string;
  /** Default: that of the agents. */
  readonly serviceAccount?: string;
}

interface InDir {
  /** Gets the kubeconfig. */
  readonly dir: string;
}

/**
 * A token as the agent's pod on this node would have it: of the service account, bound to a pod that is bound to the node,
 * so that the API server tells the name of the node with each request. What the account may do is said elsewhere. Safe to
 * repeat.
 */
export async function createNodeToken(options: NodeIdentityOptions): Promise<string> {
  const { access, namespace, nodeName, serviceAccount = AGENT_ACCOUNT } = options;
  const podName = `${serviceAccount}-${nodeName}`.slice(0, MAX_NAME_LENGTH);
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
  return await createToken(options, serviceAccount, { apiVersion: 'v1', kind: 'Pod', name: podName, uid });
}

/** A token of the controller's service account. Safe to repeat. */
export function createControllerToken(options: IdentityOptions): Promise<string> {
  return createToken(options, CONTROLLER_ACCOUNT);
}

/** Path of a kubeconfig with {@link createNodeToken}. */
export async function createNodeKubeconfig(options: NodeIdentityOptions & InDir): Promise<string> {
  return writeKubeconfig(options, options.nodeName, await createNodeToken(options));
}

/** Path of a kubeconfig with {@link createControllerToken}. */
export async function createControllerKubeconfig(options: IdentityOptions & InDir): Promise<string> {
  return writeKubeconfig(options, 'controller', await createControllerToken(options));
}

/** A token of a service account, which is made if need be; bound to an object or to none. */
export async function createToken(
  { access, namespace }: IdentityOptions,
  serviceAccount: string,
  boundObjectRef?: object,
): Promise<string> {
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await post(access, accounts, { metadata: { name: serviceAccount } }, [201, 409]);
  const answer = await post(
    access,
    `${accounts}/${serviceAccount}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: YEAR_SECONDS, ...(boundObjectRef === undefined ? {} : { boundObjectRef }) },
    },
    [201],
  );
  return answer.status.token;
}

function writeKubeconfig({ access, dir }: IdentityOptions & InDir, name: string, token: string): string {
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
