import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { exportedNames } from '../../builders/metrics.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const alerts: readonly Alert[] = parse(read('charts/btrfs-operator/files/rules.yaml')).groups.flatMap(
  ({ rules }: { rules: readonly Alert[] }) => rules,
);
const dashboard = JSON.parse(read('charts/btrfs-operator/files/dashboard.json'));
const panels: readonly Panel[] = dashboard.panels;

/** Names of metrics in an expression of PromQL: what is left without labels, strings, numbers, functions and words of the language. */
function metricNames(expr: string): string[] {
  const bare = expr
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/"[^"]*"/g, ' ')
    .replaceAll(/\[[^\]]*\]/g, ' ')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ');
  const words = bare.matchAll(/(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()/g);
  return [...words]
    .map(([word]) => word)
    .filter((word) => !['and', 'or', 'unless', 'bool', 'sum', 'max', 'min', 'count'].includes(word));
}

describe('monitoring of the chart', () => {
  it.each([
    ['max by (node) (a_b{type="Ready",x!="c_d"}) == 1', ['a_b']],
    ['sum by (le, x) (rate(a_bucket[$__rate_interval])) / on (job) b_total', ['a_bucket', 'b_total']],
    ['increase(a[30m]) and on (job, instance) b > 20', ['a', 'b']],
    ['a - time() < 4 * 3600', ['a']],
    ['absent(leader{name="x"} == 1)', ['leader']],
  ])('metricNames: %s', (expr, names) => expect(metricNames(expr)).toEqual(names));

  it('alerts ask for metrics that the operator exports', () => {
    const names = exportedNames();
    expect(alerts.length).toBeGreaterThan(10);
    for (const { alert, expr } of alerts) {
      expect([alert, metricNames(expr).length > 0]).toEqual([alert, true]);
      expect([alert, metricNames(expr).filter((name) => !names.has(name))]).toEqual([alert, []]);
    }
  });

  it('the dashboard asks for metrics that the operator exports', () => {
    const names = exportedNames();
    const exprs = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(exprs.length).toBeGreaterThan(20);
    for (const expr of exprs) {
      expect([expr, metricNames(expr).length > 0]).toEqual([expr, true]);
      expect([expr, metricNames(expr).filter((name) => !names.has(name))]).toEqual([expr, []]);
    }
    const variables: readonly { query: { query?: string } }[] = dashboard.templating.list;
    const asked = variables.flatMap(({ query }) => /label_values\((\w+)/.exec(query.query ?? '')?.[1] ?? []);
    expect(asked.filter((name) => !names.has(name))).toEqual([]);
  });

  it('every panel of the dashboard has an id and a place of its own', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { type, title, targets = [] } of panels) {
      expect([title, type === 'row' || targets.length > 0]).toEqual([title, true]);
    }
  });

  it('every alert has its heading in docs/operations.md, where its runbook points to, and no other alert has one', () => {
    const headings = [...read('docs/operations.md').matchAll(/^### (Btrfs\w+)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(alerts.map(({ alert }) => alert));
    for (const { alert, annotations } of alerts) {
      expect([alert, annotations.runbook]).toEqual([alert, `docs/operations.md#${alert.toLowerCase()}`]);
      expect([alert, annotations.summary !== undefined && annotations.description !== undefined]).toEqual([
        alert,
        true,
      ]);
    }
  });

  it('every alert fires in a test', () => {
    const tests = read('test/contract/chart/rules-test.yaml');
    expect(alerts.map(({ alert }) => alert).filter((alert) => !tests.includes(`alertname="${alert}"`))).toEqual([]);
  });

  it('every metric of the operator itself is in the list of docs/operations.md', () => {
    const own = [...exportedNames()]
      .filter((name) => name.startsWith('btrfs_'))
      .map((name) => name.replace(/_(bucket|sum)$/, '_count'));
    const text = read('docs/operations.md');
    const missing = [...new Set(own)]
      .map((name) => name.replace(/_count$/, ''))
      .filter((name) => !text.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });
});
