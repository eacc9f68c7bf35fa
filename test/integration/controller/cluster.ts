import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inject } from 'vitest';
import { type BtrfsNode, type BtrfsNodeStatus, btrfsNodeType } from '../../../src/api/btrfs-node.ts';
import { type Condition, findCondition, formatTime } from '../../../src/api/conditions.ts';
import { agentLeaseName, agentManager } from '../../../src/api/group.ts';
import {
  type LoopbackVolume,
  type LoopbackVolumeStatus,
  loopbackVolumeType,
} from '../../../src/api/loopback-volume.ts';
import { type ControllerConfig, loadConfig } from '../../../src/config.ts';
import { runController } from '../../../src/controller/run.ts';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { isNotFound } from '../../../src/kube/errors.ts';
import { runLeaseRenewal } from '../../../src/kube/lease.ts';
import { keyOf, type OwnerReference } from '../../../src/kube/object.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { eventType, leaseType, nodeType } from '../../../src/kube/resource-types.ts';
import { createTransport } from '../../../src/kube/transport.ts';
import { createLogger } from '../../../src/log.ts';
import { borrowControlPlane } from '../../cluster/control-plane-pool.ts';
import { type EquippedCluster, startEquippedControlPlane } from '../../cluster/equipped-control-plane.ts';
import { createObjectWatcher } from '../../cluster/object-watcher.ts';
import { waitFor } from '../../cluster/wait-for.ts';

/** Of agents in these tests: long enough for a busy machine, short enough to wait for. */
export const LEASE_SECONDS = 3;

/** A control plane for a file of tests that stops it or changes what it is equipped with; for {@link startTestCluster}. */
export function startOwnControlPlane() {
  const dir = mkdtempSync(path.join(tmpdir(), 'control-plane-'));
  return startEquippedControlPlane({ assetsDir: inject('assetsDir'), dir });
}

/**
 * A control plane that only this file of tests uses for now, since a controller decides for all that it sees, or the one that is
 * given; with typed clients for what tests write in the place of users and agents.
 */
export async function startTestCluster(given?: EquippedCluster) {
  const equipped = given ?? (await borrowControlPlane(inject('controlPlanePool')));
  const { kubeconfigPath } = equipped;
  const transport = createTransport(loadKubeConfig({ kubeconfigPath }), { userAgent: 'test' });
  const log = createLogger({ logLevel: 'error' });
  const volumes = createResourceClient<LoopbackVolume>(transport, loopbackVolumeType);
  const btrfsNodes = createResourceClient<BtrfsNode>(transport, btrfsNodeType);
  const nodes = createResourceClient(transport, nodeType);
  const leases = createResourceClient(transport, leaseType);
  const events = createResourceClient(transport, eventType);

  const objects = createObjectWatcher(transport);

  const eventsOf = async ({ metadata: { uid } }: { metadata: { uid: string } }) =>
    (await events.list()).filter((event) => event.regarding?.uid === uid);

  return {
    access: equipped,
    kubeconfigPath,
    transport,
    volumes,
    btrfsNodes,
    nodes,
    leases,
    eventsOf,
    log,

    createVolume(name: string, spec: Record<string, unknown> = {}, finalizers: string[] = []): Promise<LoopbackVolume> {
      return volumes.create({ metadata: { namespace: 'default', name, finalizers }, spec: { size: '1Gi', ...spec } });
    },

    objects,

    /** The volume as soon as it is as `is` says; fails with what it was last. */
    volumeThat: (name: string, is: (volume: LoopbackVolume) => boolean, timeoutMs?: number): Promise<LoopbackVolume> =>
      objects.that(loopbackVolumeType, `default/${name}`, is, timeoutMs),

    volumeGone: (name: string): Promise<void> => objects.gone(loopbackVolumeType, `default/${name}`),

    /** The Event of the object with this reason, as soon as there is one: it is written after what it tells of. */
    event: (object: { metadata: { uid: string } }, reason: string) =>
      waitFor(async () => (await eventsOf(object)).find((event) => event.reason === reason), {
        what: `event ${reason}`,
      }),

    /** Writes into the status of a volume what its agent would write. */
    agentWrites(volume: LoopbackVolume, status: LoopbackVolumeStatus): Promise<LoopbackVolume> {
      const { namespace, name } = volume.metadata;
      const fieldManager = agentManager(volume.status.nodeName ?? '');
      return volumes.applyStatus({ metadata: { namespace, name }, status }, { fieldManager });
    },

    /** A Node with these labels. */
    /** Without the taint that admission gives a new one until its kubelet reports. */
    async createNode(name: string, labels: Record<string, string> = {}) {
      await nodes.create({ metadata: { name, labels } });
      return await nodes.patch(name, { spec: { taints: null } }, { type: 'merge' });
    },

    /** Objects of volumes, nodes and agents are gone afterwards, held or not. */
    async empty(): Promise<void> {
      for (const volume of await volumes.list()) {
        // In this order: what is being deleted gets no finalizer any more.
        await volumes.delete(keyOf(volume));
        const finalizers = { metadata: { finalizers: null } };
        await volumes.patch(keyOf(volume), finalizers, { type: 'merge' }).catch((error) => {
          if (!isNotFound(error)) throw error;
        });
      }
      for (const node of await btrfsNodes.list()) await btrfsNodes.delete(keyOf(node));
      for (const node of await nodes.list()) await nodes.delete(keyOf(node));
      for (const lease of await leases.list({ namespace: 'default' })) await leases.delete(keyOf(lease));
    },

    async [Symbol.asyncDispose]() {
      objects.stop();
      await transport.close();
      await equipped[Symbol.asyncDispose]();
    },
  };
}

export type TestCluster = Awaited<ReturnType<typeof startTestCluster>>;

/** What an agent shows of itself to the rest of the cluster, without a node. */
export interface FakeAgent extends AsyncDisposable {
  /** Writes the BtrfsNode's status as a whole. */
  report(status?: Partial<BtrfsNodeStatus>): Promise<BtrfsNode>;
  /** Renews its Lease from now on. */
  start(): Promise<void>;
  /** Renews it no more, as if the node had lost power. */
  stop(): Promise<void>;
}

/** An agent that is alive and has 10 GiB to give away, unless told otherwise. */
export async function startFakeAgent(
  cluster: TestCluster,
  nodeName: string,
  status: Partial<BtrfsNodeStatus> = {},
  owner?: OwnerReference,
): Promise<FakeAgent> {
  let renewal: { readonly controller: AbortController; readonly ended: Promise<void> } | undefined;
  // As another process has it: a renewal after failures breaks off what runs on its transport.
  const connect = () =>
    createTransport(loadKubeConfig({ kubeconfigPath: cluster.kubeconfigPath }), { userAgent: 'fake-agent' });
  const agent: FakeAgent = {
    async report(changed = {}) {
      const whole = {
        observedGeneration: 1,
        allocatableBytes: 10 * 2 ** 30,
        conditions: [condition('Ready', 'True')],
        ...changed,
      };
      return await cluster.btrfsNodes.applyStatus(
        { metadata: { name: nodeName }, status: whole },
        { fieldManager: agentManager(nodeName) },
      );
    },
    async start() {
      const controller = new AbortController();
      const transport = connect();
      const renewing = runLeaseRenewal({
        transport,
        namespace: 'default',
        name: agentLeaseName(nodeName),
        identity: nodeName,
        durationSeconds: LEASE_SECONDS,
        renewEveryMs: 500,
        log: cluster.log,
        signal: controller.signal,
      });
      const ended = renewing.finally(() => transport.close());
      renewal = { controller, ended };
      const has = async () => (await cluster.leases.get(`default/${agentLeaseName(nodeName)}`)) !== undefined;
      await waitFor(has, { what: `Lease of ${nodeName}` });
    },
    async stop() {
      renewal?.controller.abort();
      await renewal?.ended;
    },
    async [Symbol.asyncDispose]() {
      await agent.stop();
    },
  };
  await agent.start();
  const ownerReferences = owner === undefined ? [] : [owner];
  await cluster.btrfsNodes.apply(
    { metadata: { name: nodeName, ownerReferences } },
    { fieldManager: agentManager(nodeName) },
  );
  await agent.report(status);
  return agent;
}

export function condition(type: string, status: Condition['status'], rest: Partial<Condition> = {}): Condition {
  return { type, status, reason: 'Test', message: '', lastTransitionTime: formatTime(new Date()), ...rest };
}

export interface RunningController extends AsyncDisposable {
  readonly exitCode: Promise<number>;
  stop(): Promise<number>;
}

/** A controller in this process, with short times for its own Lease. */
export function startController(cluster: TestCluster, ...flags: string[]): RunningController {
  const config = controllerConfig(cluster, ...flags);
  const controller = new AbortController();
  const exitCode = runController(config, controller.signal);
  const stop = () => {
    controller.abort();
    return exitCode;
  };
  return { exitCode, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

export function controllerFlags(cluster: TestCluster): string[] {
  return [
    `--kubeconfig=${cluster.kubeconfigPath}`,
    '--namespace=default',
    '--health-address=127.0.0.1:0',
    '--metrics-address=127.0.0.1:0',
    '--leader-election-lease-seconds=3',
    '--leader-election-renew-deadline-seconds=2',
    '--leader-election-retry-seconds=0.2',
    '--shutdown-grace-seconds=5',
  ];
}

function controllerConfig(cluster: TestCluster, ...flags: string[]): ControllerConfig {
  const args = ['controller', ...controllerFlags(cluster), '--log-level=error', '--identity=test', ...flags];
  return loadConfig(args, {}) as ControllerConfig;
}

export const readyOf = (object: LoopbackVolume | BtrfsNode) => findCondition(object.status.conditions, 'Ready');
export const scheduledOf = (volume: LoopbackVolume) => findCondition(volume.status.conditions, 'Scheduled');
