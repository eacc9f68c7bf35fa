import { describe, expect, it } from 'vitest';
import {
  compressionOf,
  effectiveCompression,
  isBestEffort,
  type MountSettings,
  missingOptions,
  mountOptions,
} from '../../../src/storage/volumes/mount-options.ts';

const defaults: MountSettings = { compression: 'zstd:3', discard: 'Async', durability: 'Full' };

describe('mountOptions', () => {
  it.each([
    ['all defaults', {}, 'compress=zstd:3,discard=async,barrier'],
    ['A8 a level above what the kernel takes', { compression: 'zstd:19' }, 'compress=zstd:15,discard=async,barrier'],
    ['no compression', { compression: 'none' }, 'compress=none,discard=async,barrier'],
    ['A7 discard Sync', { discard: 'Sync' }, 'compress=zstd:3,discard=sync,barrier'],
    ['A7 discard Off', { discard: 'Off' }, 'compress=zstd:3,nodiscard,barrier'],
    ['A7 nobarrier only for what may be lost', { durability: 'Disposable' }, 'compress=zstd:3,discard=async,nobarrier'],
  ] as const)('%s', (_, settings, expected) => {
    expect(mountOptions({ ...defaults, ...settings }).join(',')).toBe(`noatime,nosuid,nodev,${expected}`);
  });

  it.each([
    ['none', 'none'],
    ['lzo', 'lzo'],
    ['zlib', 'zlib:3'],
    ['zlib:9', 'zlib:9'],
    ['zstd', 'zstd:3'],
    ['zstd:1', 'zstd:1'],
    ['zstd:15', 'zstd:15'],
    ['zstd:16', 'zstd:15'],
  ])('A8 effectiveCompression: %s is %s', (wanted, effective) => expect(effectiveCompression(wanted)).toBe(effective));
});

// As kernel 6.18 lists the mount and its superblock.
const listed = [
  'rw',
  'nosuid',
  'nodev',
  'noatime',
  'compress=zstd:3',
  'discard=async',
  'space_cache=v2',
  'subvolid=256',
];
const without = (option: string) => listed.filter((other) => other !== option);

describe('missingOptions', () => {
  it.each([
    ['A7 everything is in effect', {}, listed, []],
    ['nothing of compress=none is listed', { compression: 'none' }, without('compress=zstd:3'), []],
    ['compression that should go', { compression: 'none' }, listed, ['compress=none']],
    ['another level', { compression: 'zstd:5' }, listed, ['compress=zstd:5']],
    [
      'a clamped level is in effect',
      { compression: 'zstd:19' },
      [...without('compress=zstd:3'), 'compress=zstd:15'],
      [],
    ],
    ['sync discard is listed as discard', { discard: 'Sync' }, [...without('discard=async'), 'discard'], []],
    ['sync discard that is not there yet', { discard: 'Sync' }, listed, ['discard=sync']],
    ['nothing of nodiscard is listed', { discard: 'Off' }, without('discard=async'), []],
    ['discard that should go', { discard: 'Off' }, listed, ['nodiscard']],
    ['nobarrier', { durability: 'Disposable' }, [...listed, 'nobarrier'], []],
    ['nobarrier that should go', {}, [...listed, 'nobarrier'], ['barrier']],
    ['a mount that lets setuid through', {}, without('nosuid'), ['nosuid']],
    ['a mount that writes at each reading', {}, [...without('noatime'), 'relatime'], ['noatime']],
  ] as const)('%s', (_, settings, options, missing) => {
    expect(missingOptions({ ...defaults, ...settings }, options)).toEqual(missing);
  });

  it('C15 speed and space may be given up, safety not', () => {
    const all = (['Async', 'Sync', 'Off'] as const).flatMap((discard) => mountOptions({ ...defaults, discard }));
    expect([...new Set(all)].filter((option) => !isBestEffort(option))).toEqual([
      'noatime',
      'nosuid',
      'nodev',
      'barrier',
    ]);
  });
});

describe('compressionOf', () => {
  it.each([
    ['zstd:3', listed],
    ['lzo', ['rw', 'compress=lzo']],
    ['none', ['rw', 'space_cache=v2']],
  ])('%s', (compression, options) => expect(compressionOf(options)).toBe(compression));
});
