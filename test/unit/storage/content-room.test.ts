import { expect, test } from 'vitest';
import { isTooMuch, refuseWithoutRoom } from '../../../src/storage/content-room.ts';

const GiB = 1024 ** 3;

test.each([
  ['more than there is', 2 * GiB, 'none', true],
  ['a little more, which may be names and commands', 1.1 * GiB, 'none', false],
  ['as much', GiB, 'none', false],
  ['what may become small enough', 31 * GiB, 'zstd:3', false],
  ['what can not become small enough', 64 * GiB, 'zstd:3', true],
] as const)('F9 room is asked for before the first byte: %s', (_title, streamBytes, compression, expected) => {
  expect(isTooMuch(streamBytes, { bytes: GiB, compression })).toBe(expected);
});

test('F9 room: says how much is needed, and nothing where nobody knows', () => {
  const room = { bytes: GiB, compression: 'none' };
  expect(() => refuseWithoutRoom(3 * GiB, room)).toThrow(
    'no room for the stream, which has about 3072Mi; raise its size',
  );
  expect(() => refuseWithoutRoom(undefined, room)).not.toThrow();
  expect(() => refuseWithoutRoom(3 * GiB, undefined)).not.toThrow();
});
