import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { conditionsOf } from '../../../src/agent/volumes/conditions.ts';
import { downSeen, mountedSeen, recordOf, treeOf } from '../../builders/observations.ts';
import { reportWith } from '../../builders/reports.ts';
import { GIB, settings } from '../../builders/wishes.ts';
import { decided } from '../../builders/worlds.ts';

const srcPath = path.resolve(import.meta.dirname, '../../../src');
/** In the place of a figure in a text: what is another one the next time somebody looks. */
const MOVING =
  /\$\{[^}]*\b(free|left|used|written|reached|percent|elapsed|remaining|position|attempts?|tries|pid|te?mp|age|errors|queued?)(?![a-z-])/i;
/** Paths of the kernel, and what is a bug if it happens. */
const ALLOWED = [/`\/proc\//, /took nothing/, /of that node \(/];

const lines = readdirSync(srcPath, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) =>
    readFileSync(path.join(srcPath, file), 'utf8')
      .split('\n')
      .map((line) => `${file}: ${line.trim()}`),
  );

test('F36 src: no text has a figure in it that moves while somebody waits', () => {
  expect(lines.filter((line) => MOVING.test(line) && !ALLOWED.some((allowed) => allowed.test(line)))).toEqual([]);
});

test.each(['left', 'Math.floor(percent)', 'errors', 'process.pid', 'tried.attempts'])(
  'F36 src: a text with %s in it would be found',
  (inside) => expect(`about \${${inside}} more`).toMatch(MOVING),
);

const steady = (texts: readonly unknown[]) => expect(new Set(texts.map((text) => JSON.stringify(text))).size).toBe(1);

test('F36 LoopbackVolume: NodeFull has the same words while the room of the node moves', () => {
  const rooms = [-GIB, 0, GIB / 2];
  const grown = rooms.map((growthBytes) => decided({ wish: { sizeBytes: 4 * GIB }, host: { growthBytes } }));
  expect(grown[0]).toMatchObject({ resizeRefusal: { reason: 'NodeFull' } });
  steady(grown);
  const wish = { settings: { ...settings, content: 'FromSource' }, sizeBytes: 3 * GIB } as const;
  const seen = downSeen({ record: recordOf({ initialized: false }) });
  const filled = rooms.map((growthBytes) => decided({ wish, seen, host: { growthBytes } }));
  expect(filled[0]).toMatchObject({ action: { refusal: { reason: 'NodeFull' } } });
  steady(filled);
});

test('F36 LoopbackVolume: Damaged has the same words while btrfs counts on', () => {
  const damaged = [1, 2, 900].map((count) =>
    conditionsOf(reportWith({ seen: mountedSeen({ tree: treeOf({ deviceErrors: { write: count } }) }) }), []),
  );
  expect(damaged[0]).toContainEqual(expect.objectContaining({ type: 'Damaged', reason: 'DeviceErrors' }));
  steady(damaged);
});
