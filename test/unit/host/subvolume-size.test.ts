import { describe, expect, it } from 'vitest';
import { parseReferencedBytes } from '../../../src/host/subvolume-size.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';

describe('parseReferencedBytes', () => {
  it('parseReferencedBytes: the total, not what is exclusive or shared', () => {
    expect(parseReferencedBytes(textFixture('btrfs-6.2-filesystem-du'))).toBe(3 * 2 ** 20);
  });

  it.each(['', '     Total   Exclusive  Set shared  Filename\n', '1.00MiB 0.00B 0.00B /x\n'])(
    'parseReferencedBytes: %j is none',
    (text) => expect(() => parseReferencedBytes(text)).toThrow(UnexpectedOutputError),
  );
});
