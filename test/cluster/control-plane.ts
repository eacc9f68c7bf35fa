import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ApiAccess, callApi } from './api.ts';
import { type Child, logTail, startChild } from './child.ts';
import { runDirVariable } from './host-leftovers.ts';
import { createKubectl, type Kubectl } from './kubectl.ts';
import { waitFor } from './wait-for.ts';

export interface ControlPlaneOptions {
  /** Where `etcd`, `kube-apiserver` and `kubectl` are: what tools/assets.sh prints. */
  readonly assetsDir: string;
  /** Data, certificates, logs and the kubeconfig go here and stay after the stop; a temporary directory if absent. */
  readonly dir?: string;
  /** Part of the HTTP/2 requests that the API server answers with a GOAWAY; at most 0.02. */
  readonly goawayChance?: number;
  readonly apiServerArgs?: readonly string[];
}

export interface ControlPlane extends ApiAccess, AsyncDisposable {
  readonly dir: string;
  /** The kubeconfig of an administrator (group system:masters). */
  readonly kubeconfigPath: string;
  readonly kubectl: Kubectl;
  /** Applies the files or directories, and waits until every CustomResourceDefinition in the cluster is served. */
  applyManifests(paths: readonly string[]): Promise<void>;
  /** Kills the API server and starts it again at the same address with the same data; resolves when it is ready. */
  restartApiServer(): Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay open and nothing answers. */
  pauseApiServer(): void;
  resumeApiServer(): void;
  stop(): Promise<void>;
}

/**
 * A real etcd and kube-apiserver on the loopback interface, ready to serve; RBAC is on, service account tokens work. There
 * is no controller manager: nothing deletes the content of a namespace, nothing collects garbage. Both processes die with
 * ours. Throws with the end of the log of the one that did not come up.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const dir = options.dir ?? (await mkdtemp(path.join(tmpdir(), 'btrfs-operator-control-plane-')));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const etcd = startEtcd(options.assetsDir, dir);
  try {
    const token = await writeCredentials(dir);
    let running = await startApiServerOnFreePort(options, dir, token);
    const kubeconfigPath = path.join(dir, 'kubeconfig');
    await writeFile(kubeconfigPath, kubeconfig(running.access), { mode: 0o600 });
    const kubectl = createKubectl(options.assetsDir, kubeconfigPath);
    const stop = async () => {
      await Promise.all([killed(running.child), killed(etcd)]);
      if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    };
    return {
      ...running.access,
      dir,
      kubeconfigPath,
      kubectl,
      applyManifests: (paths) => applyManifests(kubectl, paths),
      async restartApiServer() {
        await killed(running.child);
        running = await startApiServer(options, dir, token, running.port);
      },
      pauseApiServer: () => running.child.kill('SIGSTOP'),
      resumeApiServer: () => running.child.kill('SIGCONT'),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await killed(etcd);
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

async function killed(child: Child): Promise<void> {
  child.kill('SIGKILL');
  await child.exited;
}

function startEtcd(assetsDir: string, dir: string): Child {
  const client = `unix://${dir}/etcd.sock`;
  const peer = `unix://${dir}/peer.sock`;
  return startChild({
    name: 'etcd',
    file: path.join(assetsDir, 'etcd'),
    args: [
      `--data-dir=${dir}/etcd`,
      '--unsafe-no-fsync',
      '--log-level=warn',
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ],
    env: { [runDirVariable]: dir },
    logPath: path.join(dir, 'etcd.log'),
  });
}

/** The administrator's token; it and the service accounts' key are in `dir` afterwards. */
async function writeCredentials(dir: string): Promise<string> {
  const token = randomBytes(24).toString('hex');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(path.join(dir, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`, { mode: 0o600 });
  await writeFile(path.join(dir, 'service-accounts.pem'), keyPem, { mode: 0o600 });
  await chmod(dir, 0o700);
  return token;
}

interface RunningApiServer {
  readonly child: Child;
  readonly port: number;
  readonly access: ApiAccess;
}

async function startApiServerOnFreePort(
  options: ControlPlaneOptions,
  dir: string,
  token: string,
): Promise<RunningApiServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startApiServer(options, dir, token, await findFreePort());
    } catch (error) {
      // Another process may take the port between our look and the API server's.
      if (attempt === 3 || !String(error).includes('address already in use')) throw error;
    }
  }
}

async function startApiServer(
  options: ControlPlaneOptions,
  dir: string,
  token: string,
  port: number,
): Promise<RunningApiServer> {
  const child = startChild({
    name: 'kube-apiserver',
    file: path.join(options.assetsDir, 'kube-apiserver'),
    args: apiServerArgs(options, dir, port),
    env: { HOME: dir, [runDirVariable]: dir },
    logPath: path.join(dir, 'kube-apiserver.log'),
  });
  try {
    const access = await waitFor(() => readyAccess(dir, token, port), {
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
async function readyAccess(dir: string, token: string, port: number): Promise<ApiAccess | undefined> {
  const caPem = await readFile(path.join(dir, 'certificates/apiserver.crt'), 'utf8');
  const access = { url: `https://127.0.0.1:${port}`, caPem, token };
  if ((await callApi(access, '/readyz', { timeoutMs: 2000 })).status !== 200) return undefined;
  const namespace = await callApi(access, '/api/v1/namespaces/default', { timeoutMs: 2000 });
  return namespace.status === 200 ? access : undefined;
}

function apiServerArgs(options: ControlPlaneOptions, dir: string, port: number): string[] {
  return [
    `--etcd-servers=unix://${dir}/etcd.sock`,
    `--secure-port=${port}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    `--cert-dir=${dir}/certificates`,
    '--authorization-mode=RBAC',
    `--token-auth-file=${dir}/tokens.csv`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${dir}/service-accounts.pem`,
    `--service-account-key-file=${dir}/service-accounts.pem`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // Nothing makes the default ServiceAccounts here, and without one this plugin refuses every pod.
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged=true',
    ...(options.goawayChance === undefined ? [] : [`--goaway-chance=${options.goawayChance}`]),
    ...(options.apiServerArgs ?? []),
  ];
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port on 127.0.0.1');
  return address.port;
}

function kubeconfig({ url, caPem, token }: ApiAccess): string {
  const ca = Buffer.from(caPem).toString('base64');
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'local', cluster: { server: url, 'certificate-authority-data': ca } }],
      users: [{ name: 'admin', user: { token } }],
      contexts: [{ name: 'local', context: { cluster: 'local', user: 'admin', namespace: 'default' } }],
      'current-context': 'local',
    },
    undefined,
    2,
  )}\n`;
}

async function applyManifests(kubectl: Kubectl, paths: readonly string[]): Promise<void> {
  await kubectl(['apply', '--server-side', '--force-conflicts', ...paths.map((file) => `--filename=${file}`)]);
  const known = await kubectl(['get', 'crd', '--output=name']);
  if (known.trim() === '') return;
  await kubectl(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all']);
}
