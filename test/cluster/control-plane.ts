import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type ApiAccess, callApi } from './api.ts';
import { type ApiServerOptions, goSettings, killed, startApiServer, startApiServerOnFreePort } from './api-server.ts';
import { type Child, startChild } from './child.ts';
import { runDirVariable } from './host-leftovers.ts';
import { kubeconfigOf } from './kubeconfig.ts';
import { createKubectl, type Kubectl } from './kubectl.ts';
import { createRunDir, guardRunDir } from './run-dir.ts';
import { waitFor } from './wait-for.ts';

export interface ControlPlaneOptions extends ApiServerOptions {
  /** Data, certificates, logs and the kubeconfig go here and stay after the stop; a temporary directory if absent. */
  readonly dir?: string;
  /** Users besides the administrator. */
  readonly users?: readonly User[];
}

export interface User {
  readonly name: string;
  readonly group: string;
}

export interface ControlPlane extends ApiAccess, AsyncDisposable {
  readonly dir: string;
  /** The kubeconfig of an administrator (group system:masters). */
  readonly kubeconfigPath: string;
  readonly kubectl: Kubectl;
  /** Path of a kubeconfig of one of the `users`. */
  kubeconfigPathOf(user: string): string;
  /** Applies the files or directories, and waits until every CustomResourceDefinition in the cluster is served. */
  applyManifests(paths: readonly string[]): Promise<void>;
  /** Kills the API server and starts it again at the same address with the same data; resolves when it is ready. */
  restartApiServer(): Promise<void>;
  /** Kills both, does this with the data of etcd, and starts them again at the same address; resolves when they are ready. */
  withoutEtcd(work: (dataPath: string) => Promise<void>): Promise<void>;
  /** SIGSTOP and SIGCONT: connections stay open and nothing answers. */
  pauseApiServer(): void;
  resumeApiServer(): void;
  stop(): Promise<void>;
}

const ADMIN: User = { name: 'admin', group: 'system:masters' };

/**
 * A real etcd and kube-apiserver on the loopback interface, ready to serve; RBAC is on, service account tokens work. There
 * is no controller manager: nothing deletes the content of a namespace, nothing collects garbage. Both processes die with
 * ours. Throws with the end of the log of the one that did not come up.
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const dir = options.dir ?? createGuardedDir();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  let etcd = startEtcd(options.assetsDir, dir);
  try {
    const tokens = await writeCredentials(dir, [ADMIN, ...(options.users ?? [])]);
    const token = tokens.get(ADMIN.name) ?? '';
    let running = await startApiServerOnFreePort(options, dir, token);
    const kubeconfigPath = path.join(dir, 'kubeconfig');
    const kubeconfigPathOf = (user: string) => (user === ADMIN.name ? kubeconfigPath : `${kubeconfigPath}-${user}`);
    for (const [user, secret] of tokens)
      await writeFile(kubeconfigPathOf(user), kubeconfigOf({ ...running.access, token: secret }), { mode: 0o600 });
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
      kubeconfigPathOf,
      applyManifests: (paths) => applyManifests(running.access, kubectl, paths),
      async restartApiServer() {
        await killed(running.child);
        running = await startApiServer(options, dir, token, running.port);
      },
      async withoutEtcd(work) {
        await killed(running.child);
        await killed(etcd);
        await work(path.join(dir, 'etcd'));
        etcd = startEtcd(options.assetsDir, dir);
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

function createGuardedDir(): string {
  const dir = createRunDir(tmpdir(), 'btrfs-operator-control-plane-');
  guardRunDir(dir, 'marked');
  return dir;
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
    env: { ...goSettings, [runDirVariable]: dir },
    logPath: path.join(dir, 'etcd.log'),
  });
}

/** A token for each user; they and the service accounts' key are in `dir` afterwards. */
async function writeCredentials(dir: string, users: readonly User[]): Promise<ReadonlyMap<string, string>> {
  const tokens = new Map(users.map(({ name }) => [name, randomBytes(24).toString('hex')]));
  const lines = users.map(({ name, group }) => `${tokens.get(name)},${name},${name},"${group}"\n`);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(path.join(dir, 'tokens.csv'), lines.join(''), { mode: 0o600 });
  await writeFile(path.join(dir, 'service-accounts.pem'), keyPem, { mode: 0o600 });
  await chmod(dir, 0o700);
  return tokens;
}

interface CustomResourceDefinition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string; readonly served: boolean }[];
  };
}

async function applyManifests(access: ApiAccess, kubectl: Kubectl, files: readonly string[]): Promise<void> {
  await kubectl(['apply', '--server-side', '--force-conflicts', ...files.map((file) => `--filename=${file}`)]);
  const { items } = JSON.parse(await kubectl(['get', 'crd', '--output=json']));
  const paths = (items as CustomResourceDefinition[]).flatMap(({ spec }) =>
    spec.versions.filter(({ served }) => served).map(({ name }) => `/apis/${spec.group}/${name}/${spec.names.plural}`),
  );
  await Promise.all(
    paths.map((path) =>
      waitFor(async () => (await callApi(access, path)).status === 200, {
        what: `answer of ${path}`,
        timeoutMs: 30_000,
      }),
    ),
  );
}
