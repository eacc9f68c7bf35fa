import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { type ApiAccess, callApi } from './api.ts';
import { type Child, logTail, startChild } from './child.ts';
import { runDirVariable } from './host-leftovers.ts';
import { waitFor } from './wait-for.ts';

export interface ApiServerOptions {
  /** Where `etcd`, `kube-apiserver` and `kubectl` are: what tools/assets.sh prints. */
  readonly assetsDir: string;
  /** Part of the HTTP/2 requests that the API server answers with a GOAWAY; at most 0.02. */
  readonly goawayChance?: number;
  readonly apiServerArgs?: readonly string[];
  /**
   * Address that nodes reach the API server at. With it there are kubelets and a controller manager: kubelets may do what the
   * Node authorizer lets them, and pods need a ServiceAccount. Default: 127.0.0.1, and neither.
   */
  readonly nodesAddress?: string;
}

const LOOPBACK = '127.0.0.1';

/** A kube-apiserver that is ready. */
export interface RunningApiServer {
  readonly child: Child;
  readonly port: number;
  readonly access: ApiAccess;
}

export async function startApiServerOnFreePort(
  options: ApiServerOptions,
  dir: string,
  token: string,
): Promise<RunningApiServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startApiServer(options, dir, token, await findFreePort(options.nodesAddress ?? LOOPBACK));
    } catch (error) {
      // Another process may take the port between our look and the API server's.
      if (attempt === 3 || !String(error).includes('address already in use')) throw error;
    }
  }
}

/** Go collects garbage less often: a fifth of what the API server of a file of tests computes. Memory has a soft limit instead. */
export const goSettings = { GOGC: '400', GOMEMLIMIT: '700MiB' } as const;

/** Throws with the end of its log when it does not become ready within a minute. */
export async function startApiServer(
  options: ApiServerOptions,
  dir: string,
  token: string,
  port: number,
): Promise<RunningApiServer> {
  const child = startChild({
    name: 'kube-apiserver',
    file: path.join(options.assetsDir, 'kube-apiserver'),
    args: apiServerArgs(options, dir, port),
    env: { HOME: dir, ...goSettings, [runDirVariable]: dir },
    logPath: path.join(dir, 'kube-apiserver.log'),
  });
  try {
    const access = await waitFor(() => readyAccess(options, dir, token, port), {
      what: 'ready kube-apiserver',
      timeoutMs: 60_000,
      everyMs: 50,
      giveUp: () => {
        if (!child.running) throw new Error(`kube-apiserver ended:\n${logTail(child)}`);
      },
    });
    return { child, port, access };
  } catch (error) {
    await killed(child);
    throw error;
  }
}

/** How to reach the API server once it is ready; the certificate file that it makes at its first start is its own CA. */
async function readyAccess(
  { nodesAddress = LOOPBACK }: ApiServerOptions,
  dir: string,
  token: string,
  port: number,
): Promise<ApiAccess | undefined> {
  const caPem = await readFile(path.join(dir, 'certificates/apiserver.crt'), 'utf8');
  const access = { url: `https://${nodesAddress}:${port}`, caPem, token };
  if ((await callApi(access, '/readyz', { timeoutMs: 2000 })).status !== 200) return undefined;
  const namespace = await callApi(access, '/api/v1/namespaces/default', { timeoutMs: 2000 });
  return namespace.status === 200 ? access : undefined;
}

function apiServerArgs(options: ApiServerOptions, dir: string, port: number): string[] {
  return [
    `--etcd-servers=unix://${dir}/etcd.sock`,
    `--secure-port=${port}`,
    ...reachArgs(options),
    `--cert-dir=${dir}/certificates`,
    `--token-auth-file=${dir}/tokens.csv`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${dir}/service-accounts.pem`,
    `--service-account-key-file=${dir}/service-accounts.pem`,
    '--service-cluster-ip-range=10.0.0.0/24',
    '--allow-privileged=true',
    // Nobody competes for it; it is a tenth of what a start computes.
    '--enable-priority-and-fairness=false',
    ...(options.goawayChance === undefined ? [] : [`--goaway-chance=${options.goawayChance}`]),
    ...(options.apiServerArgs ?? []),
  ];
}

function reachArgs({ nodesAddress }: ApiServerOptions): string[] {
  if (nodesAddress !== undefined)
    return [
      `--bind-address=${nodesAddress}`,
      `--advertise-address=${nodesAddress}`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      // Nothing resolves the names of nodes.
      '--kubelet-preferred-address-types=InternalIP',
    ];
  return [
    `--bind-address=${LOOPBACK}`,
    `--advertise-address=${LOOPBACK}`,
    '--endpoint-reconciler-type=none',
    '--authorization-mode=RBAC',
    // Nothing makes the default ServiceAccounts here, and without one this plugin refuses every pod.
    '--disable-admission-plugins=ServiceAccount',
  ];
}

async function findFreePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error(`no free port on ${host}`);
  return address.port;
}

/** Gone at once: nothing of it has to be kept. */
export async function killed(child: Child): Promise<void> {
  child.kill('SIGKILL');
  await child.exited;
}
