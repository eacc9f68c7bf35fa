import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { GROUP, LEADER_LEASE } from '../api/group.ts';
import { type ControllerConfig, version } from '../config.ts';
import { loadKubeConfig } from '../kube/config.ts';
import { createEventRecorder } from '../kube/events.ts';
import { runLeaderElection } from '../kube/leader-election.ts';
import { createTransport, type Transport } from '../kube/transport.ts';
import { createLogger } from '../log.ts';
import { createMetrics, type Metrics } from '../net/metrics.ts';
import { addObjectMetrics } from '../net/object-metrics.ts';
import { startHealthServer, startMetricsServer } from '../net/server.ts';
import { systemClock } from '../runtime/clock.ts';
import { type ReconcilerOptions, startReconciler } from '../runtime/reconciler.ts';
import { buildCacheKind } from './build-caches/kind.ts';
import { buildCacheClaimKind } from './claims/kind.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { judge } from './judge.ts';
import { createNodeReconcile, type NodeReconcileOptions } from './nodes/reconcile.ts';
import type { PlacedKind, PlacedObject } from './objects/placed-kind.ts';
import { createObjectReconcile } from './objects/reconcile.ts';
import { objectStates } from './objects/states.ts';
import { snapshotKind } from './snapshots/kind.ts';
import { createTriggers, type Reconcilers, type Triggers } from './triggers.ts';
import { volumeKind } from './volumes/kind.ts';

/** What a leader works with, and where it says how it goes. */
interface Leader {
  readonly config: ControllerConfig;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly transport: Transport;
  readonly onCluster: (cluster: Cluster) => void;
}

/** Stands by, leads, and ends with the signal: 0, or 1 if leadership was lost, after which nothing must go on running. */
export async function runController(config: ControllerConfig, signal: AbortSignal): Promise<number> {
  const log = createLogger(config);
  const metrics = createMetrics();
  metrics.setInfo({ component: 'controller', version });
  let cluster: Cluster | undefined;
  const transport = createTransport(loadKubeConfig({ kubeconfigPath: config.kubeconfig }), {
    userAgent: `btrfs-operator/${version} (controller)`,
    onRequest: metrics.requestEnded,
  });
  // Who stands by is ready: it is as fit as it can be.
  const ready = [{ name: 'caches', check: () => cluster?.complaint() }];
  const health = await startHealthServer({ address: config.healthAddress, ready });
  const metricsServer = await startMetricsServer(config.metricsAddress, metrics);
  log.info({ version, healthUrl: health.url, metricsUrl: metricsServer.url }, 'controller started');
  const onCluster = (started: Cluster) => {
    cluster = started;
  };
  try {
    return await elect({ config, log, metrics, transport, onCluster }, signal);
  } finally {
    await Promise.all([health.close(), metricsServer.close(), transport.close()]);
    log.info('controller stopped');
  }
}

async function elect(leader: Leader, signal: AbortSignal): Promise<number> {
  const { config, log, metrics, transport } = leader;
  metrics.setLeading(LEADER_LEASE, false);
  if (config.leaderElection === 'Off') {
    await lead(leader, signal);
    return 0;
  }
  const result = await runLeaderElection({
    transport,
    namespace: config.namespace,
    name: LEADER_LEASE,
    identity: `${config.identity}_${randomUUID()}`,
    log,
    signal,
    onStartedLeading: (leading) => lead(leader, leading),
    timings: {
      leaseDurationMs: config.leaderElectionLeaseSeconds * 1000,
      renewDeadlineMs: config.leaderElectionRenewDeadlineSeconds * 1000,
      retryPeriodMs: config.leaderElectionRetrySeconds * 1000,
    },
  });
  metrics.setLeading(LEADER_LEASE, false);
  return result === 'lost' ? 1 : 0;
}

/** Fills the caches, then keeps the cluster's objects and nodes reconciled until the signal aborts. */
async function lead({ config, log, metrics, transport, onCluster }: Leader, signal: AbortSignal): Promise<void> {
  metrics.setLeading(LEADER_LEASE, true);
  const clock = systemClock;
  const events = createEventRecorder({ transport, controller: `${GROUP}/controller`, instance: config.identity, log });
  // Nothing is looked at before the caches are whole: an object that is not there yet would count as gone.
  let triggers: Triggers | undefined;
  const cluster = startCluster({
    transport,
    namespace: config.namespace,
    log,
    clock,
    onChange: (name, change) => triggers?.changed[name](change),
  });
  onCluster(cluster);
  addObjectMetrics(metrics.registry, objectStates(cluster));
  const onStateChange = (nodeName: string) => triggers?.nodeStateChanged(nodeName);
  const reconcilers = startReconcilers({ config, log, metrics }, { cluster, events, clock, onStateChange });
  // Who reads and signs X.509 needs 8 MB more: not for agents, which are in the same bundle, nor while standing by.
  const { startCertificates } = await import('./certificates/start.ts');
  const certificates = startCertificates({ ...config, transport, log, clock, metrics });
  try {
    await cluster.synced(signal);
    triggers = createTriggers(cluster, reconcilers);
    triggers.enqueueAll();
    log.info('caches synced');
    await aborted(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    const graceMs = config.shutdownGraceSeconds * 1000;
    const stopping = [...Object.values(reconcilers), certificates].map((running) => running.stop(graceMs));
    await Promise.all([...stopping, cluster.stop()]);
    await events.flush();
  }
}

function startReconcilers(
  { config, log, metrics }: Pick<Leader, 'config' | 'log' | 'metrics'>,
  context: NodeReconcileOptions,
): Reconcilers {
  const { cluster, clock } = context;
  const start = (name: string, reconcile: ReconcilerOptions['reconcile']) => {
    const hooks = metrics.reconcilerHooks(name);
    return startReconciler({ name, reconcile, concurrency: config.concurrency, judge, log, clock, ...hooks });
  };
  const place = <T extends PlacedObject>(kind: PlacedKind<T>) => createObjectReconcile({ kind, ...context });
  return {
    volumes: start('loopbackvolume', place(volumeKind(cluster))),
    snapshots: start('snapshot', place(snapshotKind(cluster))),
    caches: start('buildcache', place(buildCacheKind(cluster))),
    claims: start('buildcacheclaim', place(buildCacheClaimKind(cluster))),
    btrfsNodes: start('btrfsnode', createNodeReconcile(context)),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
