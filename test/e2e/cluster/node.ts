import { execFile, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import packageJson from '../../../package.json' with { type: 'json' };
import { findLoops } from '../../cluster/host-devices.ts';
import { runDirVariable } from '../../cluster/host-leftovers.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { cgroupTrees } from './node-files.ts';

/** What any process of a run needs to know of a node; plain data. */
export interface NodePlace {
  readonly name: string;
  readonly address: string;
  /** Holds all that a reboot keeps, and the node's logs. */
  readonly dir: string;
  readonly cgroup: string;
  readonly podRange: string;
  readonly assetsDir: string;
  readonly imagesDir: string;
}

/** What tools/image.sh builds, without its tags: the version of this repository, and `next` (the same, for upgrades). */
export const OPERATOR_IMAGE = 'e2e.test/btrfs-operator';

/** Of the bridge that the nodes' cables end at, in the network namespace of the run. */
export const BRIDGE = 'nodes';

export interface Node extends NodePlace {
  /** The operator's root directory, as the machine sees it. */
  readonly rootPath: string;
  /** Runs a command on the node and gives its stdout; throws with its stderr. */
  run(file: string, args: readonly string[]): Promise<string>;
  /** The mount table of the node. */
  mountInfo(): string;
  /** Images that are attached; for a node that is up or not. */
  loops(): readonly { readonly device: string; readonly backingFile: string }[];
  /** Whether its first process lives. */
  isOn(): boolean;
  /** Starts containerd, kube-proxy and kubelet; resolves when the node's own part is done. */
  powerOn(): Promise<void>;
  /** Pulls the plug: every process, mount and network interface of the node is gone, and its loop devices. */
  powerOff(): Promise<void>;
}

/** A node that may be up or down, started by this process or by another. */
export function nodeAt(place: NodePlace): Node {
  const rootPath = path.join(place.dir, 'root');
  const pidPath = path.join(place.dir, 'pid');
  const pid = () => readFileSync(pidPath, 'utf8');
  const loops = () => findLoops(rootPath);
  return {
    ...place,
    rootPath,
    run: (file, args) => runIn(['--target', pid(), '--mount', '--net', '--pid', '--uts'], file, args),
    mountInfo: () => readFileSync(`/proc/${pid()}/mountinfo`, 'utf8'),
    loops,
    isOn: () => !isGone(pid()),
    async powerOn() {
      mkdirSync(rootPath, { recursive: true });
      makeCgroup(place.cgroup);
      rmSync(path.join(place.dir, 'network-is-up'), { force: true });
      writeFileSync(pidPath, String(await startInit(place)));
      await connect(place, pid());
    },
    async powerOff() {
      if (!isGone(pid())) process.kill(Number(pid()), 'SIGKILL');
      await waitFor(() => isGone(pid()), { what: `end of ${place.name}`, timeoutMs: 30_000 });
      for (const { device } of loops()) await runHere('losetup', ['--detach', device]);
      await waitFor(() => loops().length === 0, { what: `end of the loop devices of ${place.name}` });
    },
  };
}

/** Gives the pid of the node's first process, as we see it; it lives until it is killed or the run ends. */
async function startInit(place: NodePlace): Promise<number> {
  const log = openSync(path.join(place.dir, 'node.log'), 'a');
  const namespaces = ['--mount', '--net', '--ipc', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const unshare = spawn(
    'unshare',
    [...namespaces, '--propagation=private', 'bash', path.join(import.meta.dirname, 'node.sh')],
    {
      stdio: ['ignore', log, log],
      detached: true,
      env: {
        PATH: process.env.PATH,
        NODE_NAME: place.name,
        NODE_ADDRESS: place.address,
        NODE_DIR: place.dir,
        ASSETS_DIR: place.assetsDir,
        IMAGES_DIR: place.imagesDir,
        OPERATOR_IMAGE,
        VERSION: packageJson.version,
        [runDirVariable]: place.dir,
      },
    },
  );
  unshare.unref();
  const children = `/proc/${unshare.pid}/task/${unshare.pid}/children`;
  const init = await waitFor(() => readFileSync(children, 'utf8').trim() || undefined, {
    what: `start of ${place.name}`,
  });
  return Number(init);
}

/** A cable from the bridge to the node's network namespace. */
async function connect({ name, address, dir, podRange }: NodePlace, pid: string): Promise<void> {
  const ip = (...args: string[]) => runHere('ip', args);
  const onNode = (...args: string[]) => runIn(['--target', pid, '--net'], 'ip', args);
  await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pid);
  await ip('link', 'set', name, 'master', BRIDGE, 'up');
  await onNode('link', 'set', 'lo', 'up');
  await onNode('address', 'add', `${address}/24`, 'dev', 'eth0');
  await onNode('link', 'set', 'eth0', 'up');
  await onNode('route', 'add', 'default', 'via', address.replace(/\d+$/, '1'));
  await ip('route', 'replace', podRange, 'via', address);
  writeFileSync(path.join(dir, 'network-is-up'), '');
}

/** Cgroups of version 1 take no process before they are told of processors and memory. */
function makeCgroup(cgroup: string): void {
  for (const tree of cgroupTrees()) {
    mkdirSync(path.join(tree, cgroup), { recursive: true });
    if (!tree.endsWith('/cpuset')) continue;
    for (const dir of [path.dirname(cgroup), cgroup])
      for (const file of ['cpuset.cpus', 'cpuset.mems'])
        writeFileSync(path.join(tree, dir, file), readFileSync(path.join(tree, file)));
  }
}

function isGone(pid: string): boolean {
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch {
    return true;
  }
}

function runIn(target: readonly string[], file: string, args: readonly string[]): Promise<string> {
  return runHere('nsenter', [...target, '--', file, ...args]);
}

function runHere(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], { timeout: 60_000, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(new Error(`${file} ${args.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
}
