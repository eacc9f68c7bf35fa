import { describe, expect, it } from 'vitest';
import { createAgentMetrics } from '../../../src/net/agent-metrics.ts';
import { createMetrics, type Metrics } from '../../../src/net/metrics.ts';

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

  it('times commands and says what runs on the node, once', async () => {
    const metrics = createMetrics();
    const agent = createAgentMetrics(metrics.registry);
    agent.commandEnded({ file: 'mkfs.btrfs', outcome: 'ok', durationMs: 40 });
    agent.setInfo({ version: '1', btrfsProgs: '6.2', kernel: '6.1.0' });
    agent.setInfo({ version: '1', btrfsProgs: '6.2', kernel: '6.18.0' });
    expect(await samples(metrics, 'btrfs_command_duration_seconds_sum')).toEqual([
      '{command="mkfs.btrfs",outcome="ok"} 0.04',
    ]);
    expect(await samples(metrics, 'btrfs_agent_info')).toEqual(['{version="1",btrfs_progs="6.2",kernel="6.18.0"} 1']);
  });
});
