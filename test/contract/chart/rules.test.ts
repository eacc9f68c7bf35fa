import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, it } from 'vitest';
import { stringify } from 'yaml';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const run = promisify(execFile);
const promtool = (...args: readonly string[]) =>
  run(path.join(inject('assetsDir'), 'promtool'), args, { cwd: ROOT, timeout: 30_000 }).then(
    ({ stdout, stderr }) => stdout + stderr,
  );

describe('alerts and dashboard of the chart', () => {
  it('promtool check rules: they are valid, and none is there twice', async () => {
    const said = await promtool(
      'check',
      'rules',
      '--lint=all',
      '--lint-fatal',
      'charts/btrfs-operator/files/rules.yaml',
    );
    expect(said).toMatch(/SUCCESS: \d\d rules found/);
  });

  it('the dashboard asks in valid PromQL', async () => {
    const { panels }: { panels: readonly { targets?: readonly { expr: string }[] }[] } = JSON.parse(
      readFileSync(path.join(ROOT, 'charts/btrfs-operator/files/dashboard.json'), 'utf8'),
    );
    const exprs = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const rules = exprs.map((expr, index) => ({
      record: `panel:${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m'),
    }));
    const dir = await mkdtemp(path.join(tmpdir(), 'dashboard-'));
    const file = path.join(dir, 'rules.yaml');
    await writeFile(file, stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(await promtool('check', 'rules', file)).toContain(`SUCCESS: ${exprs.length} rules found`);
    await rm(dir, { recursive: true });
  });

  it('promtool test rules: each fires when it should, and none in a healthy cluster', async () => {
    expect(await promtool('test', 'rules', 'test/contract/chart/rules-test.yaml')).toContain('SUCCESS');
  });
});
