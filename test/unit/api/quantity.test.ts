import { describe, expect, test } from 'vitest';
import { formatBytes, parseQuantity, roundUpToSector } from '../../../src/api/quantity.ts';

describe('parseQuantity', () => {
  test.each([
    ['109Mi', 114294784],
    ['1Gi', 1073741824],
    ['1.5Gi', 1610612736],
    ['.5Gi', 536870912],
    ['1.Gi', 1073741824],
    ['1Ki', 1024],
    ['16Ti', 17592186044416],
    ['1Pi', 1125899906842624],
    ['500k', 500_000],
    ['500M', 500_000_000],
    ['2G', 2_000_000_000],
    ['2T', 2_000_000_000_000],
    ['1P', 1_000_000_000_000_000],
    ['1e9', 1_000_000_000],
    ['1E9', 1_000_000_000],
    ['1.5e3', 1500],
    ['15e-1', 2],
    ['+1Ki', 1024],
    ['1500m', 2],
    ['1n', 1],
    ['0', 0],
    ['-0', 0],
    [1073741824, 1073741824],
    ['1073741824', 1073741824],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740990.5', Number.MAX_SAFE_INTEGER],
    ['0.1Ki', 103],
    ['1e0009', 1_000_000_000],
    ['1e+0009', 1_000_000_000],
    ['1e4294967305', 1_000_000_000],
    ['0.0000000000000000000001e31', 1_000_000_000],
    ['1000000000000000000000e-12', 1_000_000_000],
    ['0e2147483647', 0],
    ['1e-2147483648', 1],
    ['+.5Gi', 536870912],
    ['00000000000000000000000000001Gi', 1073741824],
    ['+', 0],
    ['Ki', 0],
  ])('F29 parseQuantity: %s is %d bytes', (text, bytes) => {
    expect(parseQuantity(text)).toBe(bytes);
  });

  test.each([
    ['', /^not a quantity: ""; write a size such as 1Gi/],
    ['abc', /^not a quantity: "abc"/],
    ['1GiB', /^not a quantity/],
    ['1 Gi', /^not a quantity/],
    ['1gi', /^not a quantity/],
    ['1K', /^not a quantity/],
    ['1e', /^not a quantity/],
    ['1e9Ki', /^not a quantity/],
    ['0x10', /^not a quantity/],
    [Number.NaN, /^not a quantity/],
    [Number.POSITIVE_INFINITY, /^not a quantity/],
    ['-1Gi', /^a size is not negative: "-1Gi"/],
    [-1, /^a size is not negative: -1/],
    ['1e31', /^a size is 2\^53 − 1 bytes at most/],
    ['1e2147483647', /^a size is 2\^53 − 1 bytes at most/],
    ['1E', /^a size is 2\^53 − 1 bytes at most: "1E"/],
    ['9007199254740992', /^a size is 2\^53 − 1 bytes at most/],
  ])('parseQuantity: %s is refused in words', (text, message) => {
    expect(() => parseQuantity(text)).toThrow(message);
    expect(() => parseQuantity(text)).toThrow(TypeError);
  });
});

describe('formatBytes', () => {
  test.each([
    [0, '0'],
    [512, '512'],
    [1023, '1023'],
    [1024, '1Ki'],
    [268435456, '256Mi'],
    [1610612736, '1.5Gi'],
    [1_000_000_000, '953.67Mi'],
    [1048575, '1Mi'],
    [17592186044416, '16Ti'],
    [Number.MAX_SAFE_INTEGER, '8Pi'],
    [-1536, '-1.5Ki'],
  ])('formatBytes: %d reads %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test('formatBytes: whole numbers of a unit come back exactly from parseQuantity', () => {
    for (const bytes of [4096, 114294784, 268435456, 1073741824, 17592186044416]) {
      expect(parseQuantity(formatBytes(bytes))).toBe(bytes);
    }
  });
});

test.each([
  [0, 0],
  [1, 4096],
  [4096, 4096],
  [4097, 8192],
  [17592186044416, 17592186044416],
])('A3 roundUpToSector: %d becomes %d', (bytes, rounded) => {
  expect(roundUpToSector(bytes)).toBe(rounded);
});
