import { describe, expect, it } from 'vitest';
import { parseMinDevSize } from '../../../src/host/btrfs-filesystem.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';

describe('parseMinDevSize', () => {
  it.each([
    ['btrfs-6.2-min-dev-size-empty', 22_020_096],
    ['btrfs-6.2-min-dev-size-full', 1_073_741_824],
  ])('A16 parseMinDevSize: %s is %d bytes', (name, bytes) => expect(parseMinDevSize(textFixture(name))).toBe(bytes));

  it.each([
    '',
    '22020096\n',
    '22020096 (21.00MiB)\n',
    '21.00MiB\n',
    '22020096 kilobytes (21.00MiB)\n',
    '-1 bytes (0.00B)\n',
    '22020096 bytes\n',
    '22020096 bytes (21.00MiB)\n22020096 bytes (21.00MiB)\n',
    '99999999999999999999 bytes (86.74EiB)\n',
    'WARNING: something\n22020096 bytes (21.00MiB)\n',
    'ERROR: not a btrfs filesystem: /proc\n',
  ])('A16 parseMinDevSize: throws on %j', (stdout) =>
    expect(() => parseMinDevSize(stdout)).toThrow(UnexpectedOutputError),
  );
});
