import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { MEMORY_SETTINGS } from '../../cluster/processes.ts';

const dockerfile = readFileSync(path.resolve(import.meta.dirname, '../../../Dockerfile'), 'utf8');

test('Dockerfile: the image starts the bundle as tests and bench do, so that what they measure is what users get', () => {
  const [, json = ''] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? [];
  expect(JSON.parse(json)).toEqual(['tini', '--', 'node', '/usr/lib/btrfs-operator/btrfs-operator.js']);
  const [, settings = ''] = /^ENV (.*)$/m.exec(dockerfile) ?? [];
  expect(Object.fromEntries(settings.split(' ').map((setting) => setting.split('=')))).toEqual(MEMORY_SETTINGS);
});
