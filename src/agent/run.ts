import type { Logger } from 'pino';
import { btrfsNodeType, type BtrfsNode } from '../api/btrfs-node.ts';
import { agentLeaseName, agentManager, GROUP } from '../api/group.ts';
import { type LoopbackVolume, loopbackVolumeType, ownedByAgent } from '../api/loopback-volume.ts';
import { type AgentConfig, version } from '../config.ts';
import { loadKubeConfig } from '../kube/config.ts';
import { createEventRecorder } from '../kube/events.ts';
import { runLeaseRenewal } from '../kube/lease.ts';
import { keyOf } from '../kube/object.ts';
import type { Change } from '../kube/object-store.ts';
import { startReflector } from '../kube/reflector.ts';
import { createResourceClient } from '../kube/resource-client.ts';
import { nodeType, podType } from '../kube/resource-types.ts';
import { createTransport, type Transport } from '../kube/transport.ts';
import { createLogger } from '../log.ts';
import { createAgentMetrics } from '../net/agent-metrics.ts';
import { createMetrics, type Metrics } from '../net/metrics.ts';
import { startHealthServer, startMetricsServer } from '../net/server.ts';
import { systemClock } from '../runtime/clock.ts';
import { type Reconciler, startReconciler } from '../runtime/reconciler.ts';
import { createStorage, type Storage } from '../storage/context.ts';
import { StorageError } from '../storage/errors.ts';
import { type Platform, readPlatform } from '../storage/platform.ts';
import { openRoot, type RootLock } from '../storage/root.ts';
import type { Usage } from '../storage/volumes/glance.ts';
import { commandLog } from './command-log.ts';
import { createHostState } from './host-state.ts';
import { judge } from './judge.ts';
import { createNodeReconcile } from './node/reconcile.ts';
import { createStatusWriter } from './status-writer.ts';
import { createVolumeReconcile } from './volumes/reconcile.ts';
import { createPodsUsing } from './volumes/users.ts';
import { createVolumeWatch } from './volumes/watch.ts';

const CLOCK = systemClock;
const RETRY_ROOT_MS = 2_000;
const COMMITTED_DELAY_MS = 1_000;

/** Everything that an agent is made of before it begins to work. */
interface Agent {
  readonly config: AgentConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly transport: Transport;
  readonly storage: Storage;
  readonly onUsage: (volume: LoopbackVolume, usage: (Usage & { readonly sizeBytes: number }) | undefined) => void;
  readonly setReady: (check: () => string | undefined) => void;
}

/** Works on the objects of one node until the signal aborts; leaves mounts and loop devices as they are. Resolves to the exit code. */
export async function runAgent(config: AgentConfig, signal: AbortSignal): Promise<number> {
  // Whatever is made on the node is for root alone.
  process.umask(0o077);
  const log = createLogger({ ...config, bindings: { node: config.nodeName } });
  const metrics = createMetrics();
  const agentMetrics = createAgentMetrics(metrics.registry);
  const transport = createTransport(loadKubeConfig({ kubeconfigPath: config.kubeconfig }), {
    userAgent: `btrfs-operator/${version} (agent)`,
    onRequest: metrics.requestEnded,
  });
  const storage = createStorage({
    rootPath: config.root,
    commandPath: config.commandPath,
    sectorSize: config.sectorSize,
    directIO: config.directIO === 'On',
    onCommand: commandLog(log, agentMetrics),
  });
  let notReady: () => string | undefined = () => 'starting';
  const health = await startHealthServer({ address: config.healthAddress, ready: [{ name: 'agent', check: () => notReady() }] });
  const metricsServer = await startMetricsServer(config.metricsAddress, metrics);
  log.info({ version, root: config.root, healthUrl: health.url, metricsUrl: metricsServer.url }, 'agent started');
  const agent: Agent = {
    config,
    log,
    metrics,
    transport,
    storage,
    onUsage: ({ metadata: { namespace = '', name } }, usage) =>
      usage === undefined ? agentMetrics.removeVolume({ namespace, name }) : agentMetrics.setVolume({ namespace, name }, usage),
    setReady: (check) => {
      notReady = check;
    },
  };
  try {
    const opened = await openPatiently(agent, signal);
    if (opened === undefined) return 0;
    agentMetrics.setInfo({ version, ...opened.platform });
    await work(agent, opened.platform, signal);
    await opened.root.release();
    return 0;
  } finally {
    await Promise.all([health.close(), metricsServer.close(), transport.close()]);
    log.info('agent stopped');
  }
}

/** Waits for the root while another agent has it (the one that is being replaced), and tries again what else fails. */
async function openPatiently(
  { storage, log, setReady }: Agent,
  signal: AbortSignal,
): Promise<{ readonly root: RootLock; readonly platform: Platform } | undefined> {
  for (let lastMessage = ''; !signal.aborted; await CLOCK.sleep(RETRY_ROOT_MS, signal)) {
    try {
      const root = await openRoot(storage);
      return { root, platform: await readPlatform(storage) };
    } catch (err) {
      const message = err instanceof StorageError ? err.message : `the root directory can't be used: ${String(err)}`;
      if (message !== lastMessage) log.warn({ err }, 'root directory not ready');
      lastMessage = message;
      setReady(() => message);
    }
  }
  return undefined;
}

/** Watches and reconciles until the signal aborts; then lets running work end within the grace period. */
async function work(agent: Agent, platform: Platform, signal: AbortSignal): Promise<void> {
  const { config, log, metrics, transport, storage, onUsage } = agent;
  const { nodeName, namespace } = config;
  const fieldManager = agentManager(nodeName);
  const events = createEventRecorder({ transport, controller: `${GROUP}/agent`, instance: nodeName, log });
  const volumeClient = createResourceClient(transport, loopbackVolumeType);
  const nodeClient = createResourceClient(transport, btrfsNodeType);
  const clock = CLOCK;

  let reconcilers: { readonly volumes: Reconciler; readonly node: Reconciler } | undefined;
  const volumes = startReflector<LoopbackVolume>({
    transport,
    type: loopbackVolumeType,
    fieldSelector: `status.nodeName=${nodeName}`,
    log,
    onChange(change) {
      if (reconcilers !== undefined && asksForWork(change)) follow(change, reconcilers);
    },
  });
  const btrfsNodes = startReflector<BtrfsNode>({
    transport,
    type: btrfsNodeType,
    fieldSelector: `metadata.name=${nodeName}`,
    log,
    onChange: () => reconcilers?.node.enqueue(nodeName),
  });
  const host = await createHostState(storage, config, () => volumes.values());
  const writer = createStatusWriter({ client: volumeClient, fieldManager, ownedPart: ({ status }: LoopbackVolume) => ownedByAgent(status) });
  const common = { judge, log, clock };
  reconcilers = {
    volumes: startReconciler({
      name: 'loopbackvolume',
      concurrency: config.concurrency,
      reconcile: createVolumeReconcile({
        nodeName,
        storage,
        client: volumeClient,
        cached: volumes.get.bind(volumes),
        writer,
        events,
        clock,
        hostFacts: host.factsFor,
        podsUsing: createPodsUsing(createResourceClient(transport, podType), nodeName),
        onUsage,
      }),
      ...common,
      ...metrics.reconcilerHooks('loopbackvolume'),
    }),
    node: startReconciler({
      name: 'btrfsnode',
      concurrency: 1,
      reconcile: createNodeReconcile({
        nodeName,
        btrfsNodes: nodeClient,
        nodes: createResourceClient(transport, nodeType),
        cached: btrfsNodes.get.bind(btrfsNodes),
        writer: createStatusWriter({ client: nodeClient, fieldManager, ownedPart: ({ status }: BtrfsNode) => status }),
        clock,
        facts: async () => ({
          platform,
          space: host.space,
          allocatableBytes: host.allocatableBytes,
          committedBytes: host.committedBytes(),
          pressure: host.pressure,
        }),
      }),
      ...common,
      ...metrics.reconcilerHooks('btrfsnode'),
    }),
  };
  const { volumes: volumeQueue, node: nodeQueue } = reconcilers;
  const enqueueAll = () => {
    nodeQueue.enqueue(nodeName);
    for (const volume of volumes.values()) volumeQueue.enqueue(keyOf(volume), { priority: 'low' });
  };
  const lookAtVolumes = createVolumeWatch({
    storage,
    volumes: () => volumes.values(),
    clock,
    usageIntervalMs: config.usageIntervalSeconds * 1000,
    enqueue: (key) => volumeQueue.enqueue(key),
    onUsage,
  });
  try {
    await Promise.all([volumes.synced(signal), btrfsNodes.synced(signal)]);
    agent.setReady(() => (volumes.idleMs > 180_000 ? 'the API server was not heard for 3 minutes' : undefined));
    enqueueAll();
    const renewal = runLeaseRenewal({
      transport,
      namespace,
      name: agentLeaseName(nodeName),
      identity: nodeName,
      durationSeconds: config.leaseSeconds,
      renewEveryMs: config.renewSeconds * 1000,
      log,
      signal,
    });
    while (!signal.aborted) {
      await clock.sleep(config.watchIntervalSeconds * 1000, signal);
      if (await host.refresh()) enqueueAll();
      await lookAtVolumes().catch((err: unknown) => log.warn({ err }, 'could not look at the volumes'));
    }
    await renewal;
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    const graceMs = config.shutdownGraceSeconds * 1000;
    await Promise.all([volumeQueue.stop(graceMs), nodeQueue.stop(graceMs)]);
    await Promise.all([volumes.stop(), btrfsNodes.stop()]);
    await events.flush();
  }
}

/** A status that we wrote ourselves asks for nothing, nor do labels and annotations; the controller's NodeLost does. */
function asksForWork({ kind, object, previous }: Change<LoopbackVolume>): boolean {
  if (kind !== 'updated' || previous === undefined) return true;
  return (
    object.metadata.generation !== previous.metadata.generation ||
    object.metadata.deletionTimestamp !== previous.metadata.deletionTimestamp ||
    object.status.conditions?.some(({ reason }) => reason === 'NodeLost') === true
  );
}

/** What is being done for an older wish is not worth finishing. */
function follow({ kind, object }: Change<LoopbackVolume>, reconcilers: { readonly volumes: Reconciler; readonly node: Reconciler }): void {
  const key = keyOf(object);
  if (kind === 'updated') reconcilers.volumes.interrupt(key);
  else reconcilers.volumes.enqueue(key);
  // Many volumes at once change what is committed once.
  if (object.status.nodeName !== undefined) reconcilers.node.enqueue(object.status.nodeName, { afterMs: COMMITTED_DELAY_MS });
}
