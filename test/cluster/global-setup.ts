import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { type ControlPlanePool, startControlPlanePool } from './control-plane-pool.ts';
import { describeLeftovers, findLeftovers, isClean, type Leftovers, removeLeftovers } from './host-leftovers.ts';
import { createRunDir, guardRunDir, removeStaleRunDirs } from './run-dir.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where everything that tests make on this machine goes; also the TMPDIR of the tests. */
    runDir: string;
    assetsDir: string;
    kubeconfigPath: string;
    api: { readonly url: string; readonly caPem: string; readonly token: string };
    /** For `borrowControlPlane`. */
    controlPlanePool: string;
  }
}

const repositoryPath = path.resolve(import.meta.dirname, '../..');
const prefix = 'btrfs-operator-test-';

interface Shared {
  readonly runDir: string;
  readonly assetsDir: string;
  readonly controlPlane: ControlPlane;
  readonly pool: ControlPlanePool;
}

/** Vitest loads this file once for each project that names it: they share one control plane through the global object. */
const registry = globalThis as { btrfsOperatorTests?: { shared: Promise<Shared>; users: number } };

/** For projects that need API servers: one that all share, a pool of others, and one bundle for the whole run, see `inject`. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  registry.btrfsOperatorTests ??= { shared: startShared(), users: 0 };
  registry.btrfsOperatorTests.users++;
  const { runDir, assetsDir, controlPlane, pool } = await registry.btrfsOperatorTests.shared;
  const { url, caPem, token, kubeconfigPath } = controlPlane;
  project.provide('runDir', runDir);
  project.provide('assetsDir', assetsDir);
  project.provide('kubeconfigPath', kubeconfigPath);
  project.provide('api', { url, caPem, token });
  project.provide('controlPlanePool', pool.socketPath);
  return async () => {
    const tests = registry.btrfsOperatorTests;
    if (tests === undefined || --tests.users > 0) return;
    delete registry.btrfsOperatorTests;
    await stopShared(await tests.shared);
  };
}

async function startShared(): Promise<Shared> {
  for (const dir of await removeStaleRunDirs(tmpdir(), prefix, 'all'))
    console.log(`removed what a killed run left: ${dir}`);
  const assetsDir = execFileSync(path.join(repositoryPath, 'tools/assets.sh'), ['test'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
  bundle();
  const runDir = createRunDir(tmpdir(), prefix);
  guardRunDir(runDir, 'all');
  process.env.TMPDIR = runDir; // the workers inherit it: what a test makes is found by where it is
  try {
    const controlPlane = await startControlPlane({ assetsDir, dir: path.join(runDir, 'control-plane') });
    const crdsPath = path.join(repositoryPath, 'crds');
    if (existsSync(crdsPath) && readdirSync(crdsPath).length > 0) await controlPlane.applyManifests([crdsPath]);
    const pool = await startControlPlanePool({ assetsDir, dir: path.join(runDir, 'pool') });
    return { runDir, assetsDir, controlPlane, pool };
  } catch (error) {
    await removeLeftovers(runDir, 'all');
    throw error;
  }
}

/** Without a bundle the tests that start the operator fail, and only they: an old one must not pass for the code of now. */
function bundle(): void {
  try {
    execFileSync(process.execPath, [path.join(repositoryPath, 'tools/bundle.ts')], { stdio: 'pipe', encoding: 'utf8' });
  } catch (error) {
    rmSync(path.join(repositoryPath, 'dist/btrfs-operator.js'), { force: true });
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    console.error(`no bundle, what starts the operator will fail:\n${said.split('\n').slice(0, 12).join('\n')}`);
  }
}

async function stopShared({ runDir, controlPlane, pool }: Shared): Promise<void> {
  await Promise.all([controlPlane.stop(), pool.stop()]);
  const left = await leftoversWhenQuiet(runDir);
  await removeLeftovers(runDir, 'all');
  if (isClean(left)) return;
  process.exitCode = 1;
  throw new Error(`the tests left this on the machine (removed now):\n${describeLeftovers(left)}`);
}

/** What is left when processes that were just killed have had a moment to go. */
async function leftoversWhenQuiet(runDir: string): Promise<Leftovers> {
  const deadline = performance.now() + 3000;
  for (;;) {
    const left = findLeftovers(runDir);
    if (isClean(left) || performance.now() > deadline) return left;
    await sleep(100);
  }
}
