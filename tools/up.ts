// Starts a cluster with the operator on this machine and leaves it running: what `make up` runs. The cluster is kept by a
// process of its own, `up.ts --keep`, with which all of it ends.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { removeLeftovers } from '../test/cluster/host-leftovers.ts';
import { claimRunDir, guardRunDir, ownerOf } from '../test/cluster/run-dir.ts';
import { waitFor } from '../test/cluster/wait-for.ts';
import { ensureAssets, startLocalCluster } from './local-cluster.ts';
import { shellPath, statePath, whatUsesVolumes } from './local-state.ts';

const logPath = path.join(statePath, 'up.log');

await (process.argv.includes('--keep') ? keepCluster() : startKeeper());

async function startKeeper(): Promise<void> {
  if (ownerOf(statePath) === 'alive') {
    console.log(`It is running already.\n${usage()}`);
    return;
  }
  const inUse = existsSync(statePath) ? whatUsesVolumes() : undefined;
  if (inUse !== undefined) {
    console.error(
      `${inUse}\nThat cluster has ended. End what uses it or let it leave (cd /), then run \`make up\` again.`,
    );
    process.exitCode = 1;
    return;
  }
  await removeLeftovers(statePath, 'marked');
  ensureAssets();
  mkdirSync(statePath, { mode: 0o700 });
  const log = openSync(logPath, 'w');
  const keeper = spawn(process.execPath, [import.meta.filename, '--keep'], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  keeper.once('exit', () => {
    ended = true;
  });
  console.log('Starting a cluster with the operator …');
  await waitFor(() => existsSync(shellPath), {
    what: 'ready cluster',
    timeoutMs: 90_000,
    giveUp: () => {
      if (ended) throw new Error(`it did not start:\n${existsSync(logPath) ? readFileSync(logPath, 'utf8') : ''}`);
    },
  });
  keeper.unref();
  console.log(usage());
}

function usage(): string {
  return `Ready. In a shell:

  . ${shellPath}
  kubectl get btrfsnodes
  kubectl apply -f examples/loopback-volume.yaml
  kubectl get lbv -o wide --watch

Logs are in ${statePath}/logs. \`make down\` ends it and removes everything.`;
}

async function keepCluster(): Promise<void> {
  claimRunDir(statePath);
  guardRunDir(statePath, 'marked');
  const cluster = await startLocalCluster({
    dir: statePath,
    assetsDir: ensureAssets(),
    nodeNames: ['node-a', 'node-b'],
    say: (line) => console.log(line),
  });
  const { PATH, KUBECONFIG } = cluster.shellEnvironment;
  const [programsPath = ''] = PATH.split(':');
  writeFileSync(shellPath, `export KUBECONFIG='${KUBECONFIG}'\nexport PATH='${programsPath}':"$PATH"\n`);
  await new Promise((resolve) => process.once('SIGTERM', resolve).once('SIGINT', resolve));
  await cluster.stop();
  process.exit(0);
}
