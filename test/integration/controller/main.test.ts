import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Child, startChild } from '../../cluster/child.ts';
import type { EquippedControlPlane } from '../../cluster/equipped-control-plane.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import {
  controllerFlags,
  scheduledOf,
  startFakeAgent,
  startOwnControlPlane,
  startTestCluster,
  type TestCluster,
} from './cluster.ts';

const mainPath = path.resolve(import.meta.dirname, '../../../src/main.ts');

let controlPlane: EquippedControlPlane;
let cluster: TestCluster;
let started = 0;

beforeAll(async () => {
  controlPlane = await startOwnControlPlane();
  cluster = await startTestCluster(controlPlane);
});

afterAll(() => cluster[Symbol.asyncDispose]());

function startMain(args: readonly string[], env: Record<string, string> = {}): Child {
  const logPath = path.join(controlPlane.dir, `main-${started++}.log`);
  return startChild({ name: 'main', file: process.execPath, args: [mainPath, ...args], env, logPath });
}

interface LogLine {
  readonly msg?: string;
  readonly healthUrl?: string;
  readonly metricsUrl?: string;
  readonly [field: string]: unknown;
}

function linesOf(child: Child): LogLine[] {
  const lines = child
    .log()
    .split('\n')
    .filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line));
}

function lineThat(child: Child, msg: string): Promise<LogLine> {
  return waitFor(() => linesOf(child).find((line) => line.msg === msg), {
    what: `log line "${msg}"`,
    timeoutMs: 20_000,
  });
}

async function get(url: string | undefined): Promise<{ readonly code: number; readonly text: string }> {
  const response = await fetch(url ?? '');
  return { code: response.status, text: await response.text() };
}

describe('main', () => {
  it.each([
    [['--version'], {}, 0, /^btrfs-operator \d+\.\d+\.\d+\n$/],
    [['controller', '--help'], {}, 0, /--leader-election-lease-seconds\n/],
    [['serve'], {}, 2, /^unknown command "serve": .*\n$/],
    [['agent'], { NODE_NAME: 'No Node' }, 2, /^NODE_NAME: "No Node" is not allowed: .*\n$/],
    [[], {}, 2, /\nUsage: btrfs-operator COMMAND/],
    [['--help'], {}, 0, /\nUsage: btrfs-operator COMMAND/],
    [['controller', '--kubeconfig=/none'], {}, 1, /^kubeconfig "\/none" can't be loaded: ENOENT: .*\n$/],
    [
      ['agent', '--node-name=a', `--kubeconfig=${import.meta.filename}`],
      {},
      1,
      /^kubeconfig ".*" can't be loaded: .*\n$/,
    ],
  ])('%j ends with the right code and text', async (args, env, code, text) => {
    const child = startMain(args, env);
    expect(await child.exited).toEqual({ code, signal: null });
    expect(child.log()).toMatch(text);
  });

  it('controller: serves health and metrics, logs a line for each pass, and ends in order on SIGTERM', async () => {
    await using _agent = await startFakeAgent(cluster, 'node-a');
    // A busy machine may be slower than the short times of other tests, and a renewal that is late is a warning.
    const patient = ['--leader-election-lease-seconds=60', '--leader-election-renew-deadline-seconds=40'];
    await using child = startMain(['controller', ...controllerFlags(cluster), ...patient, '--log-level=debug']);
    const { healthUrl, metricsUrl } = await lineThat(child, 'controller started');
    await lineThat(child, 'caches synced');
    expect(await get(`${healthUrl}/healthz`)).toEqual({ code: 200, text: 'ok\n' });
    expect(await get(`${healthUrl}/readyz`)).toEqual({ code: 200, text: '[+] caches\nok\n' });
    await cluster.createVolume('vol');
    await cluster.volumeThat('vol', (volume) => scheduledOf(volume)?.status === 'True');
    const { text } = await get(`${metricsUrl}/metrics`);
    for (const sample of [
      /^leader_election_master_status\{name="btrfs-operator-controller"\} 1$/m,
      /^controller_runtime_reconcile_total\{controller="loopbackvolume",result="success"\} [1-9]/m,
      /^workqueue_depth\{name="btrfsnode"\} \d+$/m,
      /^rest_client_requests_total\{method="PATCH",code="200"\} [1-9]/m,
    ]) {
      expect(text).toMatch(sample);
    }
    const pass = linesOf(child).find((line) => line.msg === 'pass ended' && line.name === 'vol');
    expect(pass).toMatchObject({ controller: 'loopbackvolume', namespace: 'default', durationMs: expect.any(Number) });

    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(linesOf(child).map((line) => line.msg)).toEqual(
      expect.arrayContaining(['stopping', 'leader lease released', 'controller stopped']),
    );
    expect(linesOf(child).filter((line) => line.level === 'warn' || line.level === 'error')).toEqual([]);
  });

  it('controller: one that stands by is ready and leads nothing', async () => {
    await using first = startMain(['controller', ...controllerFlags(cluster)]);
    await lineThat(first, 'caches synced');
    await using second = startMain(['controller', ...controllerFlags(cluster)]);
    const { healthUrl, metricsUrl } = await lineThat(second, 'controller started');
    expect(await get(`${healthUrl}/readyz`)).toMatchObject({ code: 200 });
    expect((await get(`${metricsUrl}/metrics`)).text).toMatch(
      /^leader_election_master_status\{name="btrfs-operator-controller"\} 0$/m,
    );
    first.kill('SIGKILL');
    await lineThat(second, 'caches synced');
  });

  it('controller: a second signal ends it at once, though the API server hangs', async () => {
    await using child = startMain(['controller', ...controllerFlags(cluster)]);
    const { healthUrl } = await lineThat(child, 'controller started');
    await lineThat(child, 'caches synced');
    controlPlane.pauseApiServer();
    try {
      expect(await get(`${healthUrl}/healthz`)).toMatchObject({ code: 200 });
      child.kill('SIGTERM');
      await lineThat(child, 'stopping');
      // Its Lease can't be released now, and it would wait for that a while.
      child.kill('SIGTERM');
      expect(await child.exited).toEqual({ code: 1, signal: null });
    } finally {
      controlPlane.resumeApiServer();
    }
  });
});
