import { describe, expect, it } from 'vitest';
import { type AllocationFigures, observeSpace, spaceOf } from '../../../src/host/space-info.ts';

const MiB = 1024 * 1024;

function kind(totalBytes: number, usedBytes: number, copies = 1) {
  return { totalBytes, usedBytes, diskTotalBytes: totalBytes * copies, diskUsedBytes: usedBytes * copies };
}

/** What `/sys/fs/btrfs/FSID/allocation` had beside the fixture `btrfs-6.2-filesystem-usage-dup` (kernel 6.18). */
const dup: AllocationFigures = {
  data: kind(243_269_632, 161_218_560),
  metadata: kind(53_673_984, 2_097_152, 2),
  system: kind(8_388_608, 16_384, 2),
  globalReserveBytes: 5_767_168,
};

describe('spaceOf', () => {
  it('B24 spaceOf: free is what data chunks have left and what is not allocated yet, as statfs says', () => {
    const space = spaceOf(dup, 1024 * MiB);
    expect(space.freeBytes).toBe(787_349_504);
    expect(space.unallocatedBytes).toBe(706_347_008);
  });

  it('B24 spaceOf: metadata of profile dup is used twice', () => {
    const space = spaceOf(dup, 1024 * MiB);
    expect(space.usedBytes).toBe(165_445_632);
    expect([space.metadataTotal, space.metadataUsed]).toEqual([107_347_968, 4_194_304]);
  });

  it('B24 spaceOf: nothing is free when metadata is exhausted and no chunk is left to allocate', () => {
    const figures = {
      ...dup,
      data: kind(400 * MiB, 100 * MiB),
      metadata: kind(8 * MiB, 3 * MiB),
      system: kind(4 * MiB, 0),
    };
    expect(spaceOf(figures, 413 * MiB).freeBytes).toBe(0);
    expect(spaceOf(figures, 433 * MiB).freeBytes).toBe(320 * MiB);
  });

  it('B24 spaceOf: a filesystem that is being shrunk never has less than nothing left', () =>
    expect(spaceOf(dup, 100 * MiB)).toMatchObject({ unallocatedBytes: 0, freeBytes: 82_051_072 }));
});

describe('observeSpace', () => {
  it('observeSpace: is undefined when the filesystem is not mounted', async () =>
    expect(await observeSpace('00000000-0000-4000-8000-000000000000', MiB)).toBeUndefined());
});
