// The stories of test/e2e on a cluster of two real nodes: what `make e2e` runs. Arguments go to vitest, e.g. `test/e2e/install.test.ts`.
//
// All of the cluster lives in a mount, a network, an IPC and a pid namespace made for this run. When the first process in there is
// gone, however that happens, so are all processes, mounts and network interfaces; loop devices, cgroups and files are removed here.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  describeLeftovers,
  findLeftovers,
  isClean,
  removeLeftovers,
  runDirVariable,
} from '../test/cluster/host-leftovers.ts';
import { createRunDir, guardRunDir, removeStaleRunDirs } from '../test/cluster/run-dir.ts';
import { cgroupTrees } from '../test/e2e/cluster/node-files.ts';

const repositoryPath = path.resolve(import.meta.dirname, '..');
const prefix = 'btrfs-operator-e2e-';

await removeStaleRunDirs(tmpdir(), prefix, 'all');
removeCgroups();
const assetsDir = printedBy('tools/assets.sh', ['e2e']);
const imagesDir = printedBy('tools/image.sh', []);
const runDir = createRunDir(tmpdir(), prefix);
guardRunDir(runDir, 'all');

/** Volumes of other runs on this machine could not be unmounted by these as long as our copies of their mounts are there. */
const FIRST_PROCESS = `
  prefix=$1
  findmnt --raw --noheadings --output TARGET --types btrfs | tac | while read -r mount; do
    [[ $mount != "$prefix"* ]] || umount -- "$mount"
  done
  ip link set lo up && "\${@:2}"
  exit $?`;

const before = traces();
const code = await runInNamespaces(['vitest', 'run', '--project', 'e2e', ...process.argv.slice(2)]);
const left = findLeftovers(runDir);
const after = traces().filter((trace) => !before.includes(trace));
const said = [...(isClean(left) ? [] : [describeLeftovers(left)]), ...after].join('\n');
if (said !== '') console.log(`the run left this on the machine:\n${said}`);
await removeLeftovers(runDir, 'all');
removeCgroups();
process.exit(code === 0 && said !== '' ? 1 : code);

function printedBy(script: string, args: readonly string[]): string {
  const stdio = ['ignore', 'pipe', 'inherit'] as const;
  return execFileSync(path.join(repositoryPath, script), args, { encoding: 'utf8', stdio: [...stdio] }).trim();
}

function runInNamespaces(command: readonly string[]): Promise<number> {
  const child = spawn(
    'setpriv',
    [
      ...[
        '--pdeathsig',
        'KILL',
        '--',
        'unshare',
        '--mount',
        '--net',
        '--ipc',
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
      ],
      // A shell as the first process: it collects what others leave behind.
      ...[
        '--propagation=private',
        'bash',
        '-c',
        FIRST_PROCESS,
        'bash',
        path.join(tmpdir(), 'btrfs-operator-'),
        ...command,
      ],
    ],
    {
      cwd: repositoryPath,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        TMPDIR: runDir,
        [runDirVariable]: runDir,
        E2E_ASSETS_DIR: assetsDir,
        E2E_IMAGES_DIR: imagesDir,
      },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGKILL'));
  return new Promise((resolve) => child.once('exit', (exitCode) => resolve(exitCode ?? 1)));
}

/** What a cluster that is not kept to its namespaces would leave beside processes, mounts and loop devices. */
function traces(): string[] {
  const ours = readdirSync('/sys/class/net').filter((name) => /^(nodes|node-.*|cni0|veth.*)$/.test(name));
  const interfaces = ours.map((name) => `network interface ${name}`);
  const dirs = ['/var/lib/btrfs-operator', '/var/lib/kubelet', '/var/log/pods', '/run/containerd', '/opt/containerd'];
  return [...interfaces, ...dirs.filter((dir) => existsSync(dir)).map((dir) => `directory ${dir}`)];
}

/** Of runs whose directory is gone. */
function removeCgroups(): void {
  for (const tree of cgroupTrees())
    for (const name of readdirSync(tree).filter((each) => each.startsWith(prefix)))
      if (!existsSync(path.join(tmpdir(), name))) removeCgroup(path.join(tree, name));
}

function removeCgroup(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(path.join(dir, entry.name));
  try {
    rmdirSync(dir);
  } catch {
    // A process in it has not gone yet: the next run removes it.
  }
}
