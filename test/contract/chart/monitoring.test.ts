import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';

const chartPath = path.resolve(import.meta.dirname, '../../../charts/btrfs-operator');
const read = (file: string) => readFileSync(path.join(chartPath, 'files', file), 'utf8');
const KINDS = ['ConfigMap', 'PodMonitor', 'PrometheusRule'];

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
}

/** The objects of these kinds that the chart makes with these settings. */
async function monitoringWith<T = Manifest>(...settings: readonly string[]): Promise<T[]> {
  const helm = path.join(inject('assetsDir'), 'helm');
  const set = settings.flatMap((setting) => ['--set', `monitoring.${setting}`]);
  const args = ['template', 'rel', chartPath, '--namespace', 'there', ...set];
  const { stdout } = await promisify(execFile)(helm, args, { maxBuffer: 2 ** 24 });
  const objects = parseAllDocuments(stdout).map((document) => document.toJS());
  return objects.filter((object) => KINDS.includes(object?.kind));
}

describe('monitoring of the chart', () => {
  it('nothing of it is made unless it is asked for', async () => {
    expect(await monitoringWith()).toEqual([]);
  });

  it('PodMonitor: finds both ports, and leaves the labels of the series alone', async () => {
    const [monitor] = await monitoringWith(
      'podMonitor.enabled=true',
      'podMonitor.interval=30s',
      'podMonitor.labels.a=b',
    );
    expect(monitor).toMatchObject({
      kind: 'PodMonitor',
      metadata: { namespace: 'there', labels: { a: 'b' } },
      spec: {
        selector: {
          matchLabels: { 'app.kubernetes.io/name': 'btrfs-operator', 'app.kubernetes.io/instance': 'rel' },
        },
        podMetricsEndpoints: [{ port: 'metrics', path: '/metrics', interval: '30s', honorLabels: true }],
      },
    });
  });

  it('PrometheusRule: has the rules as they are, templates of theirs included', async () => {
    const [rule] = await monitoringWith<{ spec: unknown }>('prometheusRule.enabled=true');
    expect(rule?.spec).toEqual(parse(read('rules.yaml')));
    expect(JSON.stringify(rule?.spec)).toContain('{{ $labels.name }}');
  });

  it('ConfigMap: has the dashboard and the label that Grafana looks for', async () => {
    const [map] = await monitoringWith<Manifest & { data: Record<string, string> }>('dashboard.enabled=true');
    expect(map?.metadata.labels.grafana_dashboard).toBe('1');
    expect(JSON.parse(map?.data['btrfs-operator.json'] ?? '')).toEqual(JSON.parse(read('dashboard.json')));
  });
});
