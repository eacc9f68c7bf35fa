import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { complaintOf } from '../../guards/guard.ts';
import { guards } from '../../guards/guards.ts';
import { unguarded } from '../../guards/unguarded.ts';

const repositoryPath = path.resolve(import.meta.dirname, '../../..');
const textOf = (file: string) => readFileSync(path.join(repositoryPath, file), 'utf8');

test('guards: what each changes stands where it says, and its test file is there', () => {
  expect(guards.map((guard) => complaintOf(guard, textOf(guard.file))).filter(Boolean)).toEqual([]);
  expect(guards.map(({ test: file }) => file).filter((file) => !existsSync(path.join(repositoryPath, file)))).toEqual(
    [],
  );
});

/** Rows of the models, and rules of what keeps data safe. */
const PROMISES = { A: 24, B: 24, C: 23, D: 20, 'rule ': 17 };

test('guards: each row A to D and each rule has one, or is said to be proved otherwise', () => {
  const ids = Object.entries(PROMISES).flatMap(([kind, count]) =>
    Array.from({ length: count }, (_, index) => `${kind}${index + 1}`),
  );
  const guarded = new Set(guards.flatMap(({ promise }) => promise.match(/\b(?:[A-F]|rule )\d+/g) ?? []));
  expect(ids.filter((id) => !guarded.has(id))).toEqual(Object.keys(unguarded));
});

test('complaintOf: a text that is not there, or twice, can not be changed', () => {
  const guard = { promise: 'A1', breaks: 'it broke', file: 'a.ts', from: 'one', to: 'two', test: 'b.test.ts' };
  expect(complaintOf(guard, 'one')).toBeUndefined();
  expect(complaintOf(guard, 'none of it one')).toContain('2 times');
  expect(complaintOf(guard, 'two')).toContain('0 times');
  expect(complaintOf({ ...guard, to: 'one' }, 'one')).toContain('not changed');
});
