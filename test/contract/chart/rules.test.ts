import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const run = promisify(execFile);
const promtool = (...args: readonly string[]) =>
  run(path.join(inject('assetsDir'), 'promtool'), args, { cwd: ROOT, timeout: 30_000 }).then(
    ({ stdout, stderr }) => stdout + stderr,
  );

describe('alerts of the chart', () => {
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

  it('promtool test rules: each fires when it should, and none in a healthy cluster', async () => {
    expect(await promtool('test', 'rules', 'test/contract/chart/rules-test.yaml')).toContain('SUCCESS');
  });
});
