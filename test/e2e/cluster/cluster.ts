import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { V1NodeList } from '@kubernetes/client-node';
import { type ApiAccess, callApi } from '../../cluster/api.ts';
import { type Child, startChild } from '../../cluster/child.ts';
import { type ControlPlane, startControlPlane } from '../../cluster/control-plane.ts';
import { runDirVariable } from '../../cluster/host-leftovers.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { BRIDGE, type Node, type NodePlace, nodeAt } from './node.ts';
import { writeNodeFiles } from './node-files.ts';

/** In the network namespace of the run, which the machine's own network knows nothing of. */
const CONTROL_PLANE_ADDRESS = '172.30.0.1';
const NODE_NAMES = ['node-a', 'node-b'];

export interface ClusterOptions {
  /** Everything is in here; its name also names the cgroups. */
  readonly runDir: string;
  readonly assetsDir: string;
  /** What tools/image.sh printed. */
  readonly imagesDir: string;
}

export interface Cluster {
  readonly controlPlane: ControlPlane;
  readonly nodes: readonly Node[];
  stop(): Promise<void>;
}

/**
 * A cluster of two nodes: etcd, kube-apiserver, controller manager and scheduler beside us; containerd, kubelet and kube-proxy in
 * namespaces of their own for each node. Resolves when both nodes are Ready. Call it in a network and a pid namespace made for it
 * (tools/e2e.ts): they are what takes everything away when the run ends.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { runDir, assetsDir } = options;
  for (const args of [
    ['link', 'add', BRIDGE, 'type', 'bridge'],
    ['address', 'add', `${CONTROL_PLANE_ADDRESS}/24`, 'dev', BRIDGE],
    ['link', 'set', BRIDGE, 'up'],
  ])
    execFileSync('ip', args);
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  const users = NODE_NAMES.map((name) => ({ name: `system:node:${name}`, group: 'system:nodes' }));
  const controlPlane = await startControlPlane({
    assetsDir,
    dir: path.join(runDir, 'control-plane'),
    nodesAddress: CONTROL_PLANE_ADDRESS,
    users: [...users, { name: 'system:kube-proxy', group: 'system:node-proxier' }],
  });
  const managers = startManagers(controlPlane, assetsDir);
  const nodes = NODE_NAMES.map((name, index) => nodeAt(placeOf(name, index, options)));
  for (const node of nodes) writeFilesOf(node, controlPlane);
  await Promise.all(nodes.map((node) => node.powerOn()));
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.powerOff()));
    await Promise.all(managers.map((manager) => manager.end()));
    await controlPlane.stop();
  };
  try {
    const giveUp = () => {
      const off = nodes.find((node) => !node.isOn());
      if (off !== undefined) throw new Error(`${off.name} has ended`);
    };
    await waitFor(() => areReady(controlPlane), { what: 'Ready nodes', timeoutMs: 60_000, everyMs: 500, giveUp });
  } catch (error) {
    const logs = nodes.map(logTailOf).join('\n');
    await stop();
    throw new Error(`the nodes are not Ready:\n${logs}`, { cause: error });
  }
  return { controlPlane, nodes, stop };
}

async function areReady(access: ApiAccess): Promise<boolean> {
  const { body } = await callApi(access, '/api/v1/nodes');
  const ready = (body as V1NodeList).items.filter(({ status }) =>
    status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
  );
  return ready.length === NODE_NAMES.length;
}

function logTailOf({ dir }: Node): string {
  const logs = ['node.log', 'containerd.log', 'kubelet.log'].map((name) => path.join(dir, name)).filter(existsSync);
  return logs
    .map((log) => `${log}:\n${readFileSync(log, 'utf8').trimEnd().split('\n').slice(-10).join('\n')}`)
    .join('\n');
}

function placeOf(name: string, index: number, { runDir, assetsDir, imagesDir }: ClusterOptions): NodePlace {
  const dir = path.join(runDir, 'nodes', name);
  mkdirSync(dir, { recursive: true });
  return {
    name,
    address: `172.30.0.${11 + index}`,
    dir,
    cgroup: `/${path.basename(runDir)}/${name}`,
    podRange: `10.244.${1 + index}.0/24`,
    assetsDir,
    imagesDir,
  };
}

function writeFilesOf(node: Node, { kubeconfigPathOf }: ControlPlane): void {
  const kubeconfig = readFileSync(kubeconfigPathOf(`system:node:${node.name}`), 'utf8');
  writeNodeFiles({ ...node, kubeconfig });
  writeFileSync(path.join(node.dir, 'kubeconfig-kube-proxy'), readFileSync(kubeconfigPathOf('system:kube-proxy')));
}

/** What keeps namespaces, Deployments, DaemonSets, service accounts and garbage, and what places pods. */
function startManagers({ dir, kubeconfigPath }: ControlPlane, assetsDir: string): Child[] {
  const start = (name: string, args: readonly string[]) =>
    startChild({
      name,
      file: path.join(assetsDir, name),
      args: [`--kubeconfig=${kubeconfigPath}`, '--leader-elect=false', ...args],
      env: { HOME: dir, [runDirVariable]: dir },
      logPath: path.join(dir, `${name}.log`),
    });
  return [
    start('kube-controller-manager', [
      `--service-account-private-key-file=${dir}/service-accounts.pem`,
      `--root-ca-file=${dir}/certificates/apiserver.crt`,
      // A node that is switched off is found out while a test waits.
      '--node-monitor-grace-period=20s',
      '--secure-port=0',
      '--concurrent-gc-syncs=5',
    ]),
    start('kube-scheduler', ['--secure-port=0']),
  ];
}
