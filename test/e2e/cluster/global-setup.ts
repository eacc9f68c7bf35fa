import type { TestProject } from 'vitest/node';
import { type ClusterOptions, startCluster } from './cluster.ts';
import type { NodePlace } from './node.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The cluster of the run; see cluster.ts. */
    e2e: ClusterOptions & { readonly kubeconfigPath: string; readonly nodes: readonly NodePlace[] };
  }
}

/** One cluster for all stories; tools/e2e.ts says where it goes. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const options = {
    runDir: variable('BTRFS_OPERATOR_RUN_DIR'),
    assetsDir: variable('E2E_ASSETS_DIR'),
    imagesDir: variable('E2E_IMAGES_DIR'),
  };
  const cluster = await startCluster(options);
  const nodes = cluster.nodes.map(({ name, address, dir, cgroup, podRange, assetsDir, imagesDir }) => ({
    name,
    address,
    dir,
    cgroup,
    podRange,
    assetsDir,
    imagesDir,
  }));
  project.provide('e2e', { ...options, kubeconfigPath: cluster.controlPlane.kubeconfigPath, nodes });
  return () => cluster.stop();
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run this by \`make e2e\``);
  return value;
}
