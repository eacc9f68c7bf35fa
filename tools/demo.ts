// Shows the operator at work on this machine and leaves nothing behind: what `make demo` runs.
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describeLeftovers, findLeftovers, isClean, removeLeftovers } from '../test/cluster/host-leftovers.ts';
import { createRunDir, guardRunDir, removeStaleRunDirs } from '../test/cluster/run-dir.ts';
import { tellStory } from './demo-story.ts';
import { ensureAssets, type LocalCluster, startLocalCluster } from './local-cluster.ts';
import { createNarrator } from './narrator.ts';

// On a disk, where /tmp may be memory.
const parentPath = process.env.TMPDIR === undefined ? '/var/tmp' : tmpdir();
const prefix = 'btrfs-operator-demo-';
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (!stop.signal.aborted) console.log(`\n${signal}: cleaning up`);
    stop.abort();
  });
}

process.exitCode = await runDemo();

async function runDemo(): Promise<number> {
  for (const dir of await removeStaleRunDirs(parentPath, prefix, 'marked'))
    console.log(`Removed what a killed demo left: ${dir}`);
  const dir = createRunDir(parentPath, prefix);
  guardRunDir(dir, 'marked');
  const startedAt = performance.now();
  let cluster: LocalCluster | undefined;
  let failure: unknown;
  try {
    cluster = await startDemoCluster(dir);
    const repositoryPath = path.resolve(import.meta.dirname, '..');
    await tellStory(cluster, createNarrator(repositoryPath, cluster.shellEnvironment, stop.signal));
  } catch (error) {
    failure = error;
    if (!stop.signal.aborted) reportFailure(error, cluster);
  }
  const left = await cleanUp(dir, cluster, failure === undefined);
  if (stop.signal.aborted) return 130;
  if (failure !== undefined || left !== '') return 1;
  console.log(`\nDone in ${Math.round((performance.now() - startedAt) / 1000)} s; nothing is left on this machine.`);
  console.log('`make up` starts the same and leaves it running for you to try, `make down` ends that.');
  return 0;
}

async function startDemoCluster(dir: string): Promise<LocalCluster> {
  console.log(`btrfs-operator: volumes of btrfs as Kubernetes objects. Everything of this demo is in ${dir}.\n`);
  const assetsDir = ensureAssets();
  const say = (line: string) => {
    stop.signal.throwIfAborted();
    console.log(line);
  };
  return startLocalCluster({ dir, assetsDir, nodeNames: ['node-a', 'node-b'], say });
}

function reportFailure(error: unknown, cluster: LocalCluster | undefined): void {
  console.error(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}`);
  for (const operator of cluster === undefined ? [] : [cluster.controller, ...cluster.agents]) {
    console.error(`\nThe end of the log of the ${operator.name}:`);
    for (const line of operator.log().trimEnd().split('\n').slice(-12)) console.error(line.slice(0, 600));
  }
}

/** All of the demo is gone afterwards; gives what an orderly end should not have left. */
async function cleanUp(dir: string, cluster: LocalCluster | undefined, orderly: boolean): Promise<string> {
  await cluster?.stop();
  const left = findLeftovers(dir);
  if (orderly && !isClean(left)) console.error(`\nLeft behind, removed now:\n${describeLeftovers(left)}`);
  await removeLeftovers(dir, 'marked');
  return orderly && !isClean(left) ? describeLeftovers(left) : '';
}
