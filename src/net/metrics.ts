import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricsText } from './server.ts';

/** Called by a reconciler as it goes. */
export interface ReconcilerHooks {
  readonly onPass: (pass: { readonly outcome: string; readonly durationMs: number; readonly queuedMs: number }) => void;
  readonly onAdd: () => void;
  readonly onRetry: () => void;
  readonly onDepth: (depth: number) => void;
}

/** The metrics that every process of the operator has, under the names that dashboards of Kubernetes controllers know. */
export interface Metrics extends MetricsText {
  readonly registry: Registry;
  /** Hooks that count the passes and the queue of one reconciler. */
  reconcilerHooks(name: string): ReconcilerHooks;
  /** Counts a request to the API server; `code` 0 for one without an answer. */
  requestEnded(request: { readonly method: string; readonly code: number }): void;
  setLeading(lease: string, isLeading: boolean): void;
  /** Says what this process is: the other series of the same process can be told from those of other programs by it. */
  setInfo(info: { readonly component: 'controller' | 'agent'; readonly version: string }): void;
}

// Sparse on purpose: each bucket is a time series for each controller.
const PASS_SECONDS = [0.01, 0.1, 0.5, 1, 5, 30, 120, 600];
const QUEUE_SECONDS = [0.001, 0.01, 0.1, 1, 10, 60];
// Node measures the event loop's lag by waking up so often; its own default of 10 ms would keep an idle process busy.
const EVENT_LOOP_SAMPLE_MS = 250;

/** A registry with the metrics of the process itself and of its controllers. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the API server by method and HTTP status; code "<error>" for those without an answer.',
    labelNames: ['method', 'code'],
    registers,
  });
  const leading = new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this process leads, 0 while it stands by.',
    labelNames: ['name'],
    registers,
  });
  const info = new Gauge({
    name: 'btrfs_operator_info',
    help: 'Always 1; its labels say which part of the operator this is.',
    labelNames: ['component', 'version'],
    registers,
  });
  return {
    registry,
    contentType: registry.contentType,
    metrics: () => registry.metrics(),
    reconcilerHooks: createReconcilerMetrics(registry),
    requestEnded: ({ method, code }) => requests.inc({ method, code: code === 0 ? '<error>' : String(code) }),
    setInfo: (labels) => info.set(labels, 1),
    setLeading: (name, isLeading) => leading.set({ name }, isLeading ? 1 : 0),
  };
}

function createReconcilerMetrics(registry: Registry): (name: string) => ReconcilerHooks {
  const registers = [registry];
  const depth = new Gauge({
    name: 'workqueue_depth',
    help: 'Keys that wait for a pass.',
    labelNames: ['name'],
    registers,
  });
  const adds = new Counter({
    name: 'workqueue_adds_total',
    help: 'Keys added to the queue.',
    labelNames: ['name'],
    registers,
  });
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Passes tried again after a failure.',
    labelNames: ['name'],
    registers,
  });
  const queued = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long a key waited for its pass.',
    labelNames: ['name'],
    buckets: QUEUE_SECONDS,
    registers,
  });
  const total = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Passes by how they ended.',
    labelNames: ['controller', 'result'],
    registers,
  });
  const time = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'How long a pass took.',
    labelNames: ['controller'],
    buckets: PASS_SECONDS,
    registers,
  });
  return (name) => {
    depth.set({ name }, 0);
    return {
      onPass({ outcome, durationMs, queuedMs }) {
        queued.observe({ name }, queuedMs / 1000);
        total.inc({ controller: name, result: resultOf(outcome) });
        time.observe({ controller: name }, durationMs / 1000);
      },
      onAdd: () => adds.inc({ name }),
      onRetry: () => retries.inc({ name }),
      onDepth: (keys) => depth.set({ name }, keys),
    };
  };
}

/** The four results that controller-runtime knows. */
function resultOf(outcome: string): string {
  switch (outcome) {
    case 'settled':
      return 'success';
    case 'recheck':
    case 'waiting':
      return 'requeue_after';
    case 'superseded':
    case 'stopped':
    case 'failed-benign':
      return 'requeue';
    default:
      return 'error';
  }
}
