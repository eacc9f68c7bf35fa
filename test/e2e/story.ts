import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { V1Pod } from '@kubernetes/client-node';
import { expect, inject, onTestFailed } from 'vitest';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { createKubectl, type Kubectl } from '../cluster/kubectl.ts';
import { waitFor } from '../cluster/wait-for.ts';
import { type Node, nodeAt, OPERATOR_IMAGE } from './cluster/node.ts';

export const repositoryPath = path.resolve(import.meta.dirname, '../..');
export const OPERATOR_NAMESPACE = 'btrfs-operator';
const RELEASE = 'btrfs-operator';
const POD_IMAGE = 'e2e.test/debian:13';

/** What one story has: the cluster of the run, and a namespace of its own. */
export interface Story extends AsyncDisposable {
  readonly namespace: string;
  readonly nodes: readonly [Node, Node];
  /** In the story's namespace unless told otherwise. */
  readonly kubectl: Kubectl;
  /** Environment in which a shell finds kubectl and helm, and they find the cluster. */
  readonly shellEnvironment: Readonly<Record<string, string>>;
  helm(args: readonly string[]): Promise<string>;
  apply(...objects: readonly object[]): Promise<void>;
  /** Waits until the object says so, at most 4 minutes: the controller may have to move to another node first. */
  waitFor(condition: string, ...names: readonly string[]): Promise<void>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of any kind
  get(name: string): Promise<any>;
  /** A Ready volume on this node. */
  volume(name: string, node: Node, spec?: object): Promise<LoopbackVolume>;
  /** A running pod that has the directory of its node at /data. */
  pod(name: string, node: Node, directory: string, script?: string): Promise<void>;
  /** Runs a script in a pod, and gives what it prints. */
  inPod(pod: string, script: string): Promise<string>;
}

/** A story with the operator installed as its chart's defaults have it. */
export async function installedStory(): Promise<Story> {
  const story = await openStory();
  await install(story);
  return story;
}

export async function openStory(): Promise<Story> {
  const { kubeconfigPath, assetsDir, runDir, nodes } = inject('e2e');
  const namespace = `story-${randomBytes(3).toString('hex')}`;
  const home = path.join(runDir, 'home');
  mkdirSync(home, { recursive: true });
  const plain = createKubectl(assetsDir, kubeconfigPath);
  const kubectl: Kubectl = (args, options) => plain([`--namespace=${namespace}`, ...args], options);
  const shellEnvironment = { PATH: `${assetsDir}:${process.env.PATH}`, KUBECONFIG: kubeconfigPath, HOME: home };
  const waitForCondition = async (condition: string, ...names: readonly string[]) => {
    await kubectl(['wait', `--for=${condition}`, '--timeout=240s', ...names], { timeoutMs: 250_000 });
  };
  const apply = async (...objects: readonly object[]) => {
    await kubectl(['apply', '--filename=-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
    });
  };
  const get = async (name: string) => JSON.parse(await kubectl(['get', name, '--output=json']));
  const [first, second] = nodes.map(nodeAt);
  if (first === undefined || second === undefined) throw new Error('a story needs two nodes');
  // A story that failed may have left one off.
  for (const node of [first, second]) if (!node.isOn()) await node.powerOn();
  await kubectl(['create', 'namespace', namespace]);
  showOnFailure(kubectl);
  return {
    namespace,
    nodes: [first, second],
    kubectl,
    shellEnvironment,
    helm: (args) => run(path.join(assetsDir, 'helm'), args, shellEnvironment),
    apply,
    waitFor: waitForCondition,
    get,
    async volume(name, node, spec = {}) {
      await apply({ ...btrfs('LoopbackVolume', name), spec: { size: '512Mi', nodeName: node.name, ...spec } });
      await waitForCondition('condition=Ready', `lbv/${name}`);
      return get(`lbv/${name}`);
    },
    async pod(name, node, directory, script = 'exec sleep infinity') {
      await apply(podOf(name, node.name, directory, script));
      await waitForCondition('condition=Ready', `pod/${name}`);
    },
    inPod: (pod, script) => kubectl(['exec', pod, '--', 'bash', '-ec', script]),
    async [Symbol.asyncDispose]() {
      await kubectl(['delete', 'namespace', namespace, '--timeout=180s'], { timeoutMs: 200_000 });
    },
  };
}

/** Installs or upgrades the operator and waits until controller and agents are ready; does little when it is there. */
export async function install({ helm, kubectl }: Story, ...more: readonly string[]): Promise<void> {
  const values = ['--set', `image.repository=${OPERATOR_IMAGE}`, ...more];
  const chart = path.join(repositoryPath, 'charts/btrfs-operator');
  const place = ['--namespace', OPERATOR_NAMESPACE, '--create-namespace', '--wait', '--timeout=3m'];
  await helm(['upgrade', '--install', RELEASE, chart, ...place, ...values]);
  const reports = ['btrfsnode/node-a', 'btrfsnode/node-b'];
  await waitFor(() => kubectl(['get', ...reports]), { what: 'BtrfsNodes', timeoutMs: 30_000 });
  await kubectl(['wait', '--for=condition=Ready', '--timeout=60s', ...reports], { timeoutMs: 70_000 });
}

export async function uninstall({ helm }: Story): Promise<void> {
  await helm(['uninstall', RELEASE, '--namespace', OPERATOR_NAMESPACE, '--wait', '--timeout=3m', '--ignore-not-found']);
}

export function btrfs(kind: string, name: string): object {
  return { apiVersion: 'btrfs-operator.io/v1alpha1', kind, metadata: { name } };
}

/** Where the files of a volume are, on its node. */
export function dataOf({ status }: LoopbackVolume): string {
  return `${status.mountPath}/data`;
}

/** The lines of the node's mount table for a volume; a new mount would have another id in there. */
export function mountsOf({ metadata }: LoopbackVolume, node: Node): readonly string[] {
  return node
    .mountInfo()
    .split('\n')
    .filter((line) => line.includes(`/volumes/${metadata.uid} `));
}

/** For a pod that counts in /data/log, and ends, so that it is restarted, at the first write that fails. */
export const COUNTER = 'i=0; while :; do echo $((i += 1)) >> /data/log; sync /data/log; sleep 0.05; done';

/** Throws if the pod of {@link COUNTER} was ever restarted or a line it wrote is missing. */
export async function expectUndisturbed({ get, inPod }: Story, pod: string): Promise<void> {
  const { status } = await get(`pod/${pod}`);
  expect(status.containerStatuses[0].restartCount).toBe(0);
  const lines = (await inPod(pod, 'cat /data/log')).trimEnd().split('\n').map(Number);
  expect(lines).toEqual(lines.map((_, index) => index + 1));
}

function podOf(name: string, nodeName: string, directory: string, script: string): V1Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'main',
          image: POD_IMAGE,
          command: ['bash', '-ec', script],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'data', hostPath: { path: directory, type: 'Directory' } }],
    },
  };
}

function run(file: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], { env, timeout: 300_000 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(
        new Error(`${path.basename(file)} ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }),
      );
    });
  });
}

/** What the cluster looks like when a test fails: everybody's first questions. */
function showOnFailure(kubectl: Kubectl): void {
  onTestFailed(async () => {
    const commands = [
      ['get', 'nodes,pods', '--all-namespaces', '--output=wide'],
      ['get', 'btrfs', '--all-namespaces', '--output=wide'],
      ['get', 'events', '--all-namespaces', '--sort-by=.lastTimestamp'],
      [
        'logs',
        '--namespace',
        OPERATOR_NAMESPACE,
        '--tail=30',
        '--prefix',
        '--selector=app.kubernetes.io/name=btrfs-operator',
      ],
    ];
    for (const command of commands)
      console.log(`kubectl ${command.join(' ')}\n${await kubectl(command).catch((error) => String(error))}`);
  });
}

/** A shell script in the repository, as a person would run it. Throws with all that it printed when it fails. */
export function shell({ shellEnvironment }: Story, script: string, env: Readonly<Record<string, string>> = {}): string {
  return execFileSync('bash', ['--norc', '-euo', 'pipefail', '-c', `exec 2>&1\n${script}`], {
    cwd: repositoryPath,
    env: { ...shellEnvironment, ...env },
    encoding: 'utf8',
    timeout: 400_000,
  });
}
