import { describe, expect, it } from 'vitest';
import { objectStates } from '../../../src/controller/objects/states.ts';
import { createAgentMetrics } from '../../../src/net/agent-metrics.ts';
import { createMetrics, type Metrics } from '../../../src/net/metrics.ts';
import { addNodeMetrics, type NodeFigures } from '../../../src/net/node-metrics.ts';
import { addObjectMetrics, type ObjectState } from '../../../src/net/object-metrics.ts';
import { addScrapedGauge } from '../../../src/net/scraped-gauge.ts';

/** The samples of one metric as `{labels} value` lines. */
async function samples(metrics: Metrics, name: string): Promise<string[]> {
  const lines = (await metrics.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
  return lines.map((line) => line.slice(name.length)).toSorted();
}

describe('createMetrics', () => {
  it('has the metrics of the process, and nothing shared with another registry', async () => {
    const [one, two] = [createMetrics(), createMetrics()];
    one.setLeading('lease', true);
    expect(await one.metrics()).toContain('process_cpu_seconds_total');
    expect(await samples(one, 'leader_election_master_status')).toEqual(['{name="lease"} 1']);
    expect(await samples(two, 'leader_election_master_status')).toEqual([]);
  });

  it.each([
    ['settled', 'success'],
    ['recheck', 'requeue_after'],
    ['waiting', 'requeue_after'],
    ['superseded', 'requeue'],
    ['stopped', 'requeue'],
    ['failed-benign', 'requeue'],
    ['failed-transient', 'error'],
    ['failed-terminal', 'error'],
    ['failed-waiting', 'error'],
    ['failed-bug', 'error'],
  ])('counts a pass that ended %s as %s', async (outcome, result) => {
    const metrics = createMetrics();
    metrics.reconcilerHooks('volumes').onPass({ outcome, durationMs: 250, queuedMs: 4 });
    expect(await samples(metrics, 'controller_runtime_reconcile_total')).toEqual([
      `{controller="volumes",result="${result}"} 1`,
    ]);
    expect(await samples(metrics, 'controller_runtime_reconcile_time_seconds_sum')).toEqual([
      '{controller="volumes"} 0.25',
    ]);
    expect(await samples(metrics, 'workqueue_queue_duration_seconds_sum')).toEqual(['{name="volumes"} 0.004']);
  });

  it('shows the queue of each reconciler', async () => {
    const metrics = createMetrics();
    const volumes = metrics.reconcilerHooks('volumes');
    metrics.reconcilerHooks('nodes');
    volumes.onAdd();
    volumes.onAdd();
    volumes.onRetry();
    volumes.onDepth(7);
    expect(await samples(metrics, 'workqueue_depth')).toEqual(['{name="nodes"} 0', '{name="volumes"} 7']);
    expect(await samples(metrics, 'workqueue_adds_total')).toEqual(['{name="volumes"} 2']);
    expect(await samples(metrics, 'workqueue_retries_total')).toEqual(['{name="volumes"} 1']);
  });

  it('counts requests, those without an answer as <error>', async () => {
    const metrics = createMetrics();
    metrics.requestEnded({ method: 'GET', code: 200 });
    metrics.requestEnded({ method: 'GET', code: 0 });
    expect(await samples(metrics, 'rest_client_requests_total')).toEqual([
      '{method="GET",code="200"} 1',
      '{method="GET",code="<error>"} 1',
    ]);
  });
});

describe('createAgentMetrics', () => {
  it('shows the figures of a volume, drops those not known and all of them once it is removed', async () => {
    const metrics = createMetrics();
    const agent = createAgentMetrics(metrics.registry);
    const volume = { namespace: 'ns', name: 'a' };
    agent.setVolume(volume, { sizeBytes: 1000, usedBytes: 10, freeBytes: 900, hostBytes: 40 });
    agent.setVolume({ namespace: 'ns', name: 'b' }, { sizeBytes: 5 });
    expect(await samples(metrics, 'btrfs_volume_used_bytes')).toEqual(['{namespace="ns",name="a"} 10']);
    agent.setVolume(volume, { sizeBytes: 1000, hostBytes: 40 });
    expect(await samples(metrics, 'btrfs_volume_used_bytes')).toEqual([]);
    expect(await samples(metrics, 'btrfs_volume_host_bytes')).toEqual(['{namespace="ns",name="a"} 40']);
    agent.removeVolume(volume);
    agent.removeVolume(volume);
    expect(await samples(metrics, 'btrfs_volume_size_bytes')).toEqual(['{namespace="ns",name="b"} 5']);
    expect(await samples(metrics, 'btrfs_volume_host_bytes')).toEqual([]);
  });

  it('shows errors of the device as the kernel counted them, also fewer than before, and none once it is removed', async () => {
    const metrics = createMetrics();
    const agent = createAgentMetrics(metrics.registry);
    const volume = { namespace: 'ns', name: 'a' };
    const shown = () => samples(metrics, 'btrfs_device_errors_total');
    agent.setVolume(volume, { deviceErrors: { write: 0, read: 7 } });
    agent.setVolume(volume, { deviceErrors: { write: 0, read: 3 } });
    expect(await shown()).toEqual([
      '{namespace="ns",name="a",kind="read"} 3',
      '{namespace="ns",name="a",kind="write"} 0',
    ]);
    agent.removeVolume(volume);
    expect(await shown()).toEqual([]);
  });

  it('times commands and says what runs on the node, once', async () => {
    const metrics = createMetrics();
    const agent = createAgentMetrics(metrics.registry);
    agent.commandEnded({ file: 'mkfs.btrfs', outcome: 'ok', durationMs: 40 });
    agent.operationEnded({ operation: 'resize', outcome: 'failed', durationMs: 3000 });
    agent.setInfo({ version: '1', btrfsProgs: '6.2', kernel: '6.1.0' });
    agent.setInfo({ version: '1', btrfsProgs: '6.2', kernel: '6.18.0' });
    expect(await samples(metrics, 'btrfs_command_duration_seconds_sum')).toEqual([
      '{command="mkfs.btrfs",outcome="ok"} 0.04',
    ]);
    expect(await samples(metrics, 'btrfs_operation_duration_seconds_sum')).toEqual([
      '{operation="resize",outcome="failed"} 3',
    ]);
    expect(await samples(metrics, 'btrfs_agent_info')).toEqual(['{version="1",btrfs_progs="6.2",kernel="6.18.0"} 1']);
  });
});

describe('addNodeMetrics', () => {
  const figures: NodeFigures = {
    totalBytes: 100,
    freeBytes: 50,
    allocatableBytes: 90,
    committedBytes: 30,
    orphans: { count: 2, bytes: 7 },
    certificateEndsAt: new Date(60_000),
  };

  it('shows at each scrape what is so then', async () => {
    const metrics = createMetrics();
    const now = { figures, volumes: [{ namespace: 'ns', name: 'a', snapshots: 3 }] };
    addNodeMetrics(metrics.registry, { figures: () => now.figures, volumes: () => now.volumes, caches: () => [] });
    expect(await metrics.metrics()).toContain('\nbtrfs_node_orphan_bytes 7\n');
    expect(await metrics.metrics()).toContain('\nbtrfs_transfer_certificate_expiry_timestamp_seconds 60\n');
    expect(await samples(metrics, 'btrfs_volume_snapshots')).toEqual(['{namespace="ns",name="a"} 3']);
    now.volumes = [];
    expect(await samples(metrics, 'btrfs_volume_snapshots')).toEqual([]);
  });

  it('shows nothing for what is not known: 0 would be a lie', async () => {
    const metrics = createMetrics();
    const unknown = { ...figures, orphans: undefined, certificateEndsAt: undefined };
    addNodeMetrics(metrics.registry, { figures: () => unknown, volumes: () => [], caches: () => [] });
    const lines = (await metrics.metrics()).split('\n').filter((line) => /^btrfs_(node|transfer)/.test(line));
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      'btrfs_node_total_bytes',
      'btrfs_node_free_bytes',
      'btrfs_node_allocatable_bytes',
      'btrfs_node_committed_bytes',
    ]);
  });
});

describe('addObjectMetrics', () => {
  const objectWith = (name: string, ...conditions: readonly string[]): ObjectState => ({
    kind: 'LoopbackVolume',
    namespace: 'ns',
    name,
    conditions: conditions.map((text) => {
      const [type = '', status = '', reason = ''] = text.split('/');
      return { type, status, reason };
    }),
  });

  it('shows what each condition says now, and counts objects by Ready and Stalled', async () => {
    const metrics = createMetrics();
    let volumes = [objectWith('a', 'Ready/True/Ready'), objectWith('b', 'Ready/False/Mounting', 'Stalled/True/X')];
    const node = { ...objectWith('node-a', 'Ready/Unknown/NodeLost'), kind: 'BtrfsNode', namespace: '' };
    addObjectMetrics(metrics.registry, {
      objects: () => [...volumes, node],
      volumes: () => volumes,
      nodes: () => [node],
    });
    expect(await samples(metrics, 'btrfs_volume_condition')).toEqual([
      '{namespace="ns",name="a",type="Ready",status="True",reason="Ready"} 1',
      '{namespace="ns",name="b",type="Ready",status="False",reason="Mounting"} 1',
      '{namespace="ns",name="b",type="Stalled",status="True",reason="X"} 1',
    ]);
    expect(await samples(metrics, 'btrfs_objects')).toEqual([
      '{kind="BtrfsNode",namespace="",ready="Unknown"} 1',
      '{kind="LoopbackVolume",namespace="ns",ready="False"} 1',
      '{kind="LoopbackVolume",namespace="ns",ready="True"} 1',
    ]);
    expect(await samples(metrics, 'btrfs_objects_stalled')).toContain('{kind="LoopbackVolume",namespace="ns"} 1');
    volumes = [objectWith('b', 'Ready/True/Ready')];
    expect(await samples(metrics, 'btrfs_volume_condition')).toEqual([
      '{namespace="ns",name="b",type="Ready",status="True",reason="Ready"} 1',
    ]);
    expect(await samples(metrics, 'btrfs_node_condition')).toEqual([
      '{node="node-a",type="Ready",status="Unknown",reason="NodeLost"} 1',
    ]);
  });
});

it('F38 addObjectMetrics: since when the oldest of each kind is not Ready, or being deleted', async () => {
  const at = (second: number) => `2026-01-01T00:00:${second}Z`;
  const store = (...objects: readonly object[]) => ({ values: () => objects as never });
  const objectOf = (kind: string, conditions: readonly object[], metadata = {}) => ({
    kind,
    metadata: { namespace: 'ns', name: 'x', creationTimestamp: at(10), ...metadata },
    status: { conditions },
  });
  const ready = (status: string, second: number, reason = 'X') => {
    return { type: 'Ready', status, reason, lastTransitionTime: at(second) };
  };
  const metrics = createMetrics();
  const source = objectStates({
    volumes: store(objectOf('LoopbackVolume', [ready('Unknown', 11, 'NodeLost')])),
    snapshots: store(
      objectOf('Snapshot', [ready('True', 11)]),
      objectOf('Snapshot', [ready('False', 13)]),
      objectOf('Snapshot', [ready('Unknown', 12)]),
    ),
    caches: store(objectOf('BuildCache', [])),
    claims: store(objectOf('BuildCacheClaim', [ready('False', 14)], { deletionTimestamp: at(15) })),
    btrfsNodes: store(),
  });
  addObjectMetrics(metrics.registry, source);
  const second = (number: number) => Date.parse(at(number)) / 1000;
  expect(await samples(metrics, 'btrfs_objects_oldest_not_ready_timestamp_seconds')).toEqual([
    `{kind="BuildCache",namespace="ns"} ${second(10)}`,
    `{kind="Snapshot",namespace="ns"} ${second(12)}`,
  ]);
  expect(await samples(metrics, 'btrfs_objects_oldest_deletion_timestamp_seconds')).toEqual([
    `{kind="BuildCacheClaim",namespace="ns"} ${second(15)}`,
  ]);
});

it('F29 addScrapedGauge: one that cannot be read is left out alone, whole', async () => {
  const { registry } = createMetrics();
  addScrapedGauge(registry, {
    name: 'poisoned',
    help: 'Half of it.',
    labelNames: ['name'],
    *read() {
      yield [{ name: 'a' }, 1];
      throw new Error('unreadable');
    },
  });
  addScrapedGauge(registry, { name: 'well', help: 'All of it.', labelNames: [], read: () => [[{}, 3]] });
  const page = await registry.metrics();
  expect(page).not.toContain('poisoned{');
  expect(page).toMatch(/^well 3$/m);
});
