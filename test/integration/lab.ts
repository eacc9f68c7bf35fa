import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject, onTestFailed } from 'vitest';
import { type Condition, findCondition } from '../../src/api/conditions.ts';
import type { LoopbackVolume } from '../../src/api/loopback-volume.ts';
import { createResourceClient } from '../../src/kube/resource-client.ts';
import { podType } from '../../src/kube/resource-types.ts';
import { openAudit } from '../cluster/audit.ts';
import { logTail } from '../cluster/child.ts';
import type { EquippedCluster } from '../cluster/equipped-control-plane.ts';
import { removeLeftovers } from '../cluster/host-leftovers.ts';
import { createKubectl } from '../cluster/kubectl.ts';
import { createControllerKubeconfig, createNodeKubeconfig } from '../cluster/operator-identity.ts';
import { type AgentOptions, type OperatorProcess, startAgent, startController } from '../cluster/processes.ts';
import { startTestCluster } from './controller/cluster.ts';

/** How often the agents of tests look at mounts and usage: short, so that nobody waits for it. */
const AGENT_FLAGS = ['--watch-interval-seconds=0.3', '--usage-interval-seconds=0.5', '--log-level=debug'];

/**
 * A whole installation for one file of tests: a control plane that nobody else uses meanwhile, the controller as it runs in production,
 * and as many nodes (agents with a root directory each) on this machine as a test starts, each with the rights that the chart gives.
 * Disposing of it leaves nothing behind, and throws if the API server has refused one of them something.
 */
export async function startLab(given?: EquippedCluster) {
  const dir = realpathSync(mkdtempSync(path.join(tmpdir(), 'lab-')));
  const cluster = await startTestCluster(given);
  const { access, kubeconfigPath, volumes, transport } = cluster;
  const audit = openAudit(access.auditLogPath);
  const identity = { access, namespace: 'default', dir: path.join(dir, 'kubeconfigs') };
  const common = { namespace: 'default', logDir: dir };
  const controller = startController({ ...common, kubeconfigPath: await createControllerKubeconfig(identity) });
  const agents: OperatorProcess[] = [];

  const volumeThat = cluster.volumeThat;
  return {
    ...cluster,
    dir,
    audit,
    controller,
    kubectl: createKubectl(inject('assetsDir'), kubeconfigPath),
    pods: createResourceClient(transport, podType),

    /** An agent process of `nodeName` with its root at `rootPath(nodeName)`; resolves when it is ready. */
    async startAgent(nodeName: string, options: Partial<AgentOptions> = {}): Promise<OperatorProcess> {
      const rootPath = options.rootPath ?? path.join(dir, nodeName);
      mkdirSync(rootPath, { recursive: true });
      const flags = [...AGENT_FLAGS, ...(options.flags ?? [])];
      const own = { ...common, kubeconfigPath: await createNodeKubeconfig({ ...identity, nodeName }) };
      const agent = startAgent({ ...own, nodeName, ...options, rootPath, flags });
      agents.push(agent);
      await agent.ready();
      return agent;
    },
    rootPath: (nodeName: string) => path.join(dir, nodeName),

    /** The volume as soon as it is Ready for its last generation. */
    ready: (name: string, timeoutMs = 20_000) => volumeThat(name, (volume) => isSettled(volume, 'True'), timeoutMs),
    /** The volume as soon as its last generation has this condition with this reason (and status, if given). */
    withReason: (name: string, type: string, reason: string, timeoutMs = 20_000) =>
      volumeThat(name, (volume) => conditionOf(volume, type)?.reason === reason, timeoutMs),
    /** Merge-patches the spec. */
    change: (name: string, spec: Record<string, unknown>): Promise<LoopbackVolume> =>
      volumes.patch(`default/${name}`, { spec }, { type: 'merge' }),
    async remove(name: string): Promise<void> {
      await volumes.delete(`default/${name}`);
      await cluster.volumeGone(name);
    },
    /** Shows the ends of all logs when the running test fails; call at its start (in beforeEach). */
    showLogsOnFailure(): void {
      onTestFailed(() => {
        for (const operator of [controller, ...agents]) {
          console.error(`--- ${path.basename(operator.logPath)}\n${logTail(operator, 40)}`);
        }
      });
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([controller, ...agents].map((operator) => operator.end(5_000)));
      await cluster[Symbol.asyncDispose]();
      const refusals = audit.refusals().slice(0, 10);
      await removeLeftovers(dir, 'all');
      if (refusals.length > 0) throw new Error(`the API server has refused the operator:\n${refusals.join('\n')}`);
    },
  };
}

export type Lab = Awaited<ReturnType<typeof startLab>>;

/** The agent has judged the last generation, and nothing is going on any more. */
export function isSettled(volume: LoopbackVolume, ready: Condition['status']): boolean {
  const { status, metadata } = volume;
  const verdict = conditionOf(volume, 'Ready');
  return (
    status.observedGeneration === metadata.generation &&
    verdict?.status === ready &&
    conditionOf(volume, 'Reconciling') === undefined
  );
}

export function conditionOf(volume: LoopbackVolume, type: string): Condition | undefined {
  return findCondition(volume.status.conditions, type);
}

/** What a pod would mount: the volume's writable subvolume on this machine. */
export function dataPathOf(volume: LoopbackVolume): string {
  const { mountPath } = volume.status;
  if (mountPath === undefined) throw new Error(`volume ${volume.metadata.name} is not mounted`);
  return path.join(mountPath, 'data');
}
