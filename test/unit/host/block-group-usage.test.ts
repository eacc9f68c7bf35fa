import { describe, expect, it } from 'vitest';
import {
  parseBlockGroups,
  parsePointers,
  parseUsageRoot,
  readChunkUsage,
  readLongestExtent,
} from '../../../src/host/block-group-usage.ts';
import type { Chunk } from '../../../src/host/chunk-tree.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { type Script, scriptedRun } from '../../fakes/scripted-run.ts';

const roots = textFixture('btrfs-6.2-dump-tree-roots-small');
const leaf = textFixture('btrfs-6.2-dump-tree-leaf');

function chunk(logicalStart: number, lengthBytes: number): Chunk {
  return { kind: 'data', logicalStart, lengthBytes, physicalStarts: [logicalStart] };
}

describe('parseUsageRoot', () => {
  it('parseUsageRoot: is the extent tree', () =>
    expect(parseUsageRoot(textFixture('btrfs-6.2-dump-tree-roots'))).toEqual({ block: 6_062_080, level: 1 }));

  it('parseUsageRoot: is the block group tree where there is one', () => {
    const line = 'block group tree key (BLOCK_GROUP_TREE ROOT_ITEM 0) 5324800 level 0\n';
    expect(parseUsageRoot(roots + line)).toEqual({ block: 5_324_800, level: 0 });
  });

  it('parseUsageRoot: throws on anything else', () =>
    expect(() => parseUsageRoot('ERROR: unable to open /dev/loop7')).toThrow(UnexpectedOutputError));
});

describe('blocks of the tree', () => {
  it('parsePointers: has every child with its first key', () => {
    const pointers = parsePointers(textFixture('btrfs-6.2-dump-tree-node'));
    expect(pointers).toHaveLength(16);
    expect(pointers.slice(0, 2)).toEqual([
      { start: 1_048_576, block: 6_307_840 },
      { start: 15_695_872, block: 6_340_608 },
    ]);
  });

  it('parseBlockGroups: has what is used by the start of each chunk', () =>
    expect(parseBlockGroups(leaf)).toEqual([
      [1_048_576, 16_384],
      [5_242_880, 131_072],
      [13_631_488, 4_194_304],
    ]));
});

describe('readChunkUsage', () => {
  it('readChunkUsage: goes down only where a chunk is', async () => {
    const twoLevels = roots.replace('5357568 level 0', '700 level 1');
    const node = `node 700 level 1 items 3 free space 490 generation 7 owner EXTENT_TREE
\tkey (1048576 BLOCK_GROUP_ITEM 4194304) block 5357568 gen 7
\tkey (20000000 EXTENT_ITEM 4096) block 800 gen 7
\tkey (30000000 EXTENT_ITEM 4096) block 900 gen 7
`;
    const last = `leaf 900 items 1 free space 16000 generation 7 owner EXTENT_TREE
\titem 0 key (31000000 BLOCK_GROUP_ITEM 8388608) itemoff 16259 itemsize 24
\t\tblock group used 4096 chunk_objectid 256 flags DATA|single
`;
    const script: Script = [
      [/ -r \/dev\/loop7$/, twoLevels],
      [/ -b 700 \/dev\/loop7$/, node],
      [/ -b 5357568 -b 900 \/dev\/loop7$/, leaf + last],
    ];
    const usage = await readChunkUsage(scriptedRun(script).run, '/dev/loop7', [
      chunk(13_631_488, 8_388_608),
      chunk(31_000_000, 8_388_608),
    ]);
    expect([usage.get(13_631_488), usage.get(31_000_000)]).toEqual([4_194_304, 4096]);
  });

  it('readChunkUsage: throws when the tree has not that chunk: it changed under the reader', async () => {
    const script: Script = [
      [/ -r /, roots],
      [/ -b /, leaf],
    ];
    await expect(readChunkUsage(scriptedRun(script).run, '/dev/loop7', [chunk(99, 1)])).rejects.toThrow(
      UnexpectedOutputError,
    );
  });
});

describe('readLongestExtent', () => {
  it.each([
    ['in the chunk', chunk(13_631_488, 8_388_608), 3_145_728],
    ['in none of it', chunk(50_000_000, 8_388_608), 0],
  ])('readLongestExtent: %s', async (_, of, longest) => {
    const script: Script = [
      [/ -r /, roots],
      [/ -b /, leaf],
    ];
    expect(await readLongestExtent(scriptedRun(script).run, '/dev/loop7', of)).toBe(longest);
  });

  it('readLongestExtent: gives up on a chunk with very many extents', async () => {
    const pointers = Array.from({ length: 200 }, (_, index) => `\tkey (${index} EXTENT_ITEM 1) block ${index} gen 7\n`);
    const script: Script = [
      [/ -r /, roots.replace('5357568 level 0', '700 level 1')],
      [/ -b 700 /, `node 700 level 1 items 200 free space 293 generation 7 owner EXTENT_TREE\n${pointers.join('')}`],
    ];
    expect(await readLongestExtent(scriptedRun(script).run, '/dev/loop7', chunk(0, 1000))).toBeUndefined();
  });
});
