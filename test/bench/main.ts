import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubeConfig } from '../../src/kube/config.ts';
import { createTransport } from '../../src/kube/transport.ts';
import { startControlPlane } from '../cluster/control-plane.ts';
import { removeLeftovers } from '../cluster/host-leftovers.ts';
import { type OperatorProcess, startAgent, startController } from '../cluster/processes.ts';
import { rawCreate, rawGrow, rawRemove, rawShrink } from './raw.ts';
import { Times } from './times.ts';
import { createUser, type User } from './user.ts';

/**
 * Prints what the operator costs beside the same commands run by hand, in one run on one machine: ratios and differences mean
 * something, single times do not.
 */
const ROUNDS = 10;
const MANY = 50;
const MIN_BYTES = 256 * 2 ** 20;
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
  const common = { kubeconfigPath: cluster.kubeconfigPath, namespace: 'default', logDir: dir };
  const rootPath = path.join(dir, 'root');
  mkdirSync(rootPath);
  await using controller = startController({ ...common, flags: ['--leader-election=Off'] });
  await using agent = startAgent({
    ...common,
    nodeName: 'bench',
    rootPath,
    flags: ['--lease-seconds=3600', '--renew-seconds=1200'],
  });
  await Promise.all([controller.ready(), agent.ready()]);
  const transport = createTransport(loadKubeConfig({ kubeconfigPath: cluster.kubeconfigPath }), { userAgent: 'bench' });
  const user = createUser(transport);
  await user.synced();
  const rawDir = path.join(dir, 'raw');
  mkdirSync(rawDir);

  row('', 'raw', 'operator', 'ratio', 'difference');
  await benchOne(user, rawDir);
  await benchMany(user, rawDir);
  await Promise.all(names('idle', MANY).map((name) => user.create(name, '512Mi')));
  await user.stop();
  await transport.close();
  await benchIdle(agent, controller);
}

async function benchOne(user: User, rawDir: string): Promise<void> {
  const times = { raw: new Times(), ours: new Times() };
  for (let round = 0; round < ROUNDS; round++) {
    const name = `one-${round}`;
    const raw = await times.raw.of('apply to Ready', () => rawCreate(rawDir, name, '1G'));
    await times.ours.of('apply to Ready', () => user.create(name, '1Gi'));
    await times.raw.of('grow', () => rawGrow(raw, '2G'));
    await times.ours.of('grow', () => user.change(name, { size: '2Gi' }));
    await times.raw.of('minimize (near-empty)', () => rawShrink(raw, MIN_BYTES));
    await times.ours.of('minimize (near-empty)', () => user.change(name, { minimize: {} }));
    await times.raw.of('delete', () => rawRemove(raw));
    await times.ours.of('delete', () => user.remove(name));
  }
  for (const what of times.raw.names())
    compare(`${what}, one volume, median of ${ROUNDS}`, times.raw.median(what), times.ours.median(what));
}

async function benchMany(user: User, rawDir: string): Promise<void> {
  const all = names('many', MANY);
  const times = { raw: new Times(), ours: new Times() };
  const raws = await times.raw.of('create', async () => {
    const made = [];
    for (const name of all) made.push(await rawCreate(rawDir, name, '1G'));
    return made;
  });
  await times.raw.of('delete', async () => {
    for (const raw of raws) await rawRemove(raw);
  });
  await times.ours.of('create', () => Promise.all(all.map((name) => user.create(name, '1Gi'))));
  await times.ours.of('delete', () => Promise.all(all.map((name) => user.remove(name))));
  compare(`create ${MANY} at once (raw: in a row)`, times.raw.median('create'), times.ours.median('create'));
  compare(`delete ${MANY} at once (raw: in a row)`, times.raw.median('delete'), times.ours.median('delete'));
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
  console.log(`\nidle with ${MANY} volumes, over ${seconds} s`);
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

function compare(what: string, rawMs: number, oursMs: number): void {
  row(
    what,
    `${rawMs.toFixed(0)} ms`,
    `${oursMs.toFixed(0)} ms`,
    (oursMs / rawMs).toFixed(2),
    `${(oursMs - rawMs).toFixed(0)} ms`,
  );
}

function row(what: string, ...cells: readonly string[]): void {
  console.log(what.padEnd(48) + cells.map((cell) => cell.padStart(12)).join(''));
}

function names(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
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
