import { describe, expect, it } from 'vitest';
import { MadeNames } from '../../../../src/storage/streams/made-names.ts';
import { NameTable } from '../../../../src/storage/streams/name-table.ts';
import { strictStreamLimits } from '../../../../src/storage/streams/validate-stream.ts';
import { randomOf } from '../../../builders/random.ts';

describe('NameTable', () => {
  it('F41 NameTable: has what was set and not removed, as a Map has it, whatever the order', () => {
    const next = randomOf(41);
    const below = (limit: number) => Math.floor(next() * limit);
    const table = new NameTable(2 ** 20);
    const expected = new Map<string, number>();
    for (let step = 0; step < 10_000; step++) {
      const [holder, name] = [below(7), `${'x'.repeat(below(9))}${below(30)}`];
      const key = `${holder}/${name}`;
      expect(table.get(holder, name)).toBe(expected.get(key) ?? 0);
      if (below(2) === 0) {
        table.delete(holder, name);
        expected.delete(key);
      } else {
        expect(table.set(holder, name, step + 1)).toBe(true);
        expected.set(key, step + 1);
      }
    }
    for (const [key, value] of expected) {
      const [holder = '', name = ''] = key.split('/');
      expect(table.get(Number(holder), name)).toBe(value);
    }
  });
});

describe('MadeNames', { timeout: 120_000 }, () => {
  it('F41 MadeNames: a stream may make more directories than fitted before, each under a temporary name first', () => {
    const before = process.memoryUsage().arrayBuffers;
    const made = new MadeNames('empty', strictStreamLimits.maxNamesBytes);
    for (let top = 0; top < 600; top++) {
      made.make([`${top}`], 'directory');
      for (let each = 0; each < 1_000; each++) {
        made.make([`o${each}-7-0`], 'directory');
        made.move([`o${each}-7-0`], [`${top}`, `package-${each}`]);
      }
    }
    expect(made.kindOf(['599', 'package-999'])).toBe('directory');
    expect(() => made.kindOf(['7', 'package-1000', 'a'])).toThrow('no directory of the stream');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 2 ** 20);
  });

  it('F41 strictStreamLimits: hold five million names, and half as much again for growing', () => {
    const slots = 2 ** 23;
    expect(5_000_000).toBeLessThan((slots * 3) / 4);
    expect(slots * 12).toBeLessThanOrEqual(strictStreamLimits.maxNamesBytes);
  });
});
