import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubeConfig } from '../../src/kube/config.ts';
import { createTransport } from '../../src/kube/transport.ts';
import { startControlPlane } from '../cluster/control-plane.ts';
import { removeLeftovers } from '../cluster/host-leftovers.ts';
import { createControllerKubeconfig, createNodeKubeconfig } from '../cluster/operator-identity.ts';
import { installOperatorRoles } from '../cluster/operator-roles.ts';
import { type OperatorProcess, startAgent, startController } from '../cluster/processes.ts';
import { benchCaches } from './caches.ts';
import { benchSnapshots } from './snapshots.ts';
import { names } from './table.ts';
import { createUsers } from './user.ts';
import { benchVolumes } from './volumes.ts';

/**
 * Prints what the operator costs beside the same commands run by hand, in one run on one machine: ratios and differences mean
 * something, single times do not. Arguments name the tables to print: volumes, snapshots, caches; none = all.
 */
/** Volumes that are there while nothing happens. */
const IDLE = 50;
const repositoryPath = path.resolve(import.meta.dirname, '../..');

const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'btrfs-operator-bench-')));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void removeLeftovers(dir, 'marked').finally(() => process.exit(1)));
}
try {
  await bench();
} finally {
  await removeLeftovers(dir, 'marked');
}

async function bench(): Promise<void> {
  const assetsDir = execFileSync(path.join(repositoryPath, 'tools/assets.sh'), { encoding: 'utf8' }).trim();
  await using cluster = await startControlPlane({ assetsDir, dir: path.join(dir, 'control-plane') });
  await cluster.applyManifests([path.join(repositoryPath, 'crds')]);
  const identity = { access: cluster, namespace: 'default', dir };
  await installOperatorRoles(identity);
  const common = { namespace: 'default', logDir: dir };
  const startNode = async (nodeName: string) => {
    const rootPath = path.join(dir, nodeName);
    mkdirSync(rootPath);
    const kubeconfigPath = await createNodeKubeconfig({ ...identity, nodeName });
    const flags = ['--lease-seconds=3600', '--renew-seconds=1200'];
    return startAgent({ ...common, kubeconfigPath, nodeName, rootPath, flags });
  };
  const { kubeconfigPath } = cluster;
  await using controller = startController({
    ...common,
    kubeconfigPath: await createControllerKubeconfig(identity),
    flags: ['--leader-election=Off'],
  });
  await using agent = await startNode('node-a');
  await using other = await startNode('node-b');
  await Promise.all([controller.ready(), agent.ready(), other.ready()]);
  const transport = createTransport(loadKubeConfig({ kubeconfigPath }), { userAgent: 'bench' });
  const users = await createUsers(transport);
  const rawDir = path.join(dir, 'raw');
  mkdirSync(rawDir);

  const tables = {
    volumes: () => benchVolumes(users.volumes, rawDir),
    snapshots: () => benchSnapshots(users, rawDir),
    caches: () => benchCaches(users, rawDir),
  };
  const wanted = process.argv.slice(2);
  for (const [name, print] of Object.entries(tables)) {
    if (wanted.length === 0 || wanted.includes(name)) await print();
  }
  await Promise.all(
    names('idle', IDLE).map((name) => users.volumes.create(name, { size: '512Mi', nodeName: 'node-a' })),
  );
  await Promise.all(Object.values(users).map((user) => user.stop()));
  await transport.close();
  await benchIdle(agent, controller);
}

/** What the processes take while there are volumes and nothing changes. */
async function benchIdle(agent: OperatorProcess, controller: OperatorProcess): Promise<void> {
  await sleep(15_000);
  const seconds = 30;
  const before = {
    agent: cpuSeconds(agent.pid),
    controller: cpuSeconds(controller.pid),
    writes: await writes(agent, controller),
  };
  await sleep(seconds * 1000);
  console.log(`\nidle with ${IDLE} volumes, over ${seconds} s`);
  for (const process of [agent, controller]) {
    const used = cpuSeconds(process.pid) - before[process.name as 'agent' | 'controller'];
    console.log(
      `  ${process.name.padEnd(12)} ${residentMebibytes(process.pid).toFixed(0)} MiB resident, ${((used / seconds) * 100).toFixed(2)} % of a core`,
    );
  }
  console.log(`  API writes: ${(await writes(agent, controller)) - before.writes}`);
}

/** Requests that ask the API server to change something; Leases are off or renewed more seldom than we look. */
async function writes(...processes: readonly OperatorProcess[]): Promise<number> {
  let sum = 0;
  for (const process of processes) {
    const text = await (await fetch(new URL('/metrics', await process.metricsUrl()))).text();
    for (const match of text.matchAll(
      /^rest_client_requests_total\{[^}]*method="(?:POST|PUT|PATCH|DELETE)".*\} (\d+)$/gm,
    ))
      sum += Number(match[1]);
  }
  return sum;
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  // USER_HZ, the same on every Linux that Node runs on.
  const ticksPerSecond = 100;
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function residentMebibytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)?.[1]) / 1024;
}
