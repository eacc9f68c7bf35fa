import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type ControlPlane, startControlPlane } from '../test/cluster/control-plane.ts';
import { runDirVariable } from '../test/cluster/host-leftovers.ts';
import { createControllerKubeconfig, createNodeKubeconfig } from '../test/cluster/operator-identity.ts';
import { installOperatorRoles } from '../test/cluster/operator-roles.ts';
import { type OperatorProcess, startAgent, startController } from '../test/cluster/processes.ts';

const repositoryPath = path.resolve(import.meta.dirname, '..');

export interface LocalClusterOptions {
  /** Everything is in here: the API server's data, logs, and a root directory for each node. */
  readonly dir: string;
  readonly assetsDir: string;
  readonly nodeNames: readonly string[];
  /** Told what is being done. */
  readonly say: (line: string) => void;
}

/** A cluster without kubelets: a control plane, the controller, and an agent for each node, all on this machine. */
export interface LocalCluster {
  readonly controlPlane: ControlPlane;
  readonly controller: OperatorProcess;
  readonly agents: readonly OperatorProcess[];
  /** What a shell needs to talk to this cluster: KUBECONFIG, and our kubectl first in PATH. */
  readonly shellEnvironment: Readonly<Record<'PATH' | 'KUBECONFIG', string>> & Readonly<Record<string, string>>;
  rootPathOf(nodeName: string): string;
  stop(): Promise<void>;
}

/** Where the Kubernetes programs are; builds them if they are missing. */
export function ensureAssets(): string {
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  return execFileSync(path.join(repositoryPath, 'tools/assets.sh'), { encoding: 'utf8', stdio: [...stdio] }).trim();
}

/** Bundled, started and ready; all of it dies with this process. Throws with the log of what did not come up. */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const { dir, assetsDir, nodeNames, say } = options;
  execFileSync(process.execPath, [path.join(repositoryPath, 'tools/bundle.ts')], { stdio: 'inherit' });
  say('Starting etcd and kube-apiserver');
  const controlPlane = await startControlPlane({ assetsDir, dir: path.join(dir, 'control-plane') });
  const operators: OperatorProcess[] = [];
  const stop = async () => {
    await Promise.all(operators.map((operator) => operator.end()));
    await controlPlane.stop();
  };
  try {
    say('Installing the custom resource definitions of crds/');
    await controlPlane.applyManifests([path.join(repositoryPath, 'crds')]);
    const identity = { access: controlPlane, namespace: 'btrfs-operator', dir: path.join(dir, 'kubeconfigs') };
    await controlPlane.kubectl(['create', 'namespace', identity.namespace]);
    await installOperatorRoles(identity);
    await applyNodes(controlPlane, nodeNames);
    const logDir = path.join(dir, 'logs');
    await mkdir(logDir, { recursive: true });
    const common = { namespace: identity.namespace, logDir };
    say(`Starting the controller, and an agent for ${nodeNames.join(' and ')}`);
    const controller = startController({ ...common, kubeconfigPath: await createControllerKubeconfig(identity) });
    operators.push(controller);
    const rootPathOf = (nodeName: string) => path.join(dir, 'nodes', nodeName);
    const startAgentOf = async (nodeName: string) => {
      const kubeconfigPath = await createNodeKubeconfig({ ...identity, nodeName });
      return startAgent({ ...common, kubeconfigPath, nodeName, rootPath: rootPathOf(nodeName) });
    };
    const agents = await Promise.all(nodeNames.map(startAgentOf));
    operators.push(...agents);
    await Promise.all(operators.map((operator) => operator.ready()));
    const reports = nodeNames.map((nodeName) => `btrfsnode/${nodeName}`);
    await controlPlane.kubectl(['wait', '--for=create', '--timeout=30s', ...reports]);
    await controlPlane.kubectl(['wait', '--for=condition=Ready', '--timeout=30s', ...reports]);
    const shellEnvironment = {
      PATH: `${assetsDir}:${process.env.PATH}`,
      KUBECONFIG: controlPlane.kubeconfigPath,
      HOME: controlPlane.dir,
      [runDirVariable]: dir,
    };
    return { controlPlane, controller, agents, shellEnvironment, rootPathOf, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The kubelets would register these, and say that they are ready: admission gives a new Node a taint until one does. */
async function applyNodes({ kubectl }: ControlPlane, nodeNames: readonly string[]): Promise<void> {
  const items = nodeNames.map((name) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
  }));
  const stdin = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await kubectl(['apply', '--filename=-'], { stdin });
  await kubectl(['taint', 'nodes', ...nodeNames, 'node.kubernetes.io/not-ready:NoSchedule-']);
}
