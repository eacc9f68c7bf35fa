import { describe, expect, it } from 'vitest';
import { parseChunkTree, readChunkTree } from '../../../src/host/chunk-tree.ts';
import { UnexpectedOutputError } from '../../../src/host/unexpected-output.ts';
import { textFixture } from '../../builders/fixtures.ts';
import { scriptedRun } from '../../fakes/scripted-run.ts';

const MiB = 1024 * 1024;
const dup = textFixture('btrfs-6.2-dump-tree-chunk-dup');

describe('parseChunkTree', () => {
  it('parseChunkTree: a chunk of profile dup has its two places on the device', () => {
    const { sizeBytes, chunks } = parseChunkTree(dup);
    expect(sizeBytes).toBe(1024 * MiB);
    expect(chunks.map(({ kind, physicalStarts }) => [kind, physicalStarts.length])).toEqual([
      ['data', 1],
      ['system', 2],
      ['metadata', 2],
      ['data', 1],
      ['data', 1],
    ]);
    expect(chunks[2]).toEqual({
      kind: 'metadata',
      logicalStart: 30_408_704,
      lengthBytes: 53_673_984,
      physicalStarts: [38_797_312, 92_471_296],
    });
  });

  it('parseChunkTree: the chunks on the device are what the device says is allocated', () => {
    for (const [name, allocated] of [
      ['btrfs-6.2-dump-tree-chunk-single', 255_852_544],
      ['btrfs-6.2-dump-tree-chunk-dup', 367_394_816],
    ] as const) {
      const { chunks } = parseChunkTree(textFixture(name));
      const sum = chunks.reduce((bytes, chunk) => bytes + chunk.lengthBytes * chunk.physicalStarts.length, 0);
      expect(sum).toBe(allocated);
    }
  });

  it.each([
    ['nothing', ''],
    ['another tree', textFixture('btrfs-6.2-dump-tree-roots')],
    ['a cut chunk', dup.slice(0, dup.lastIndexOf('stripe 0'))],
    ['an unknown type', dup.replace('METADATA|DUP', 'OTHER|DUP')],
    [
      'two devices',
      dup.replace(
        'item 1 key (FIRST_CHUNK_TREE CHUNK_ITEM 13631488)',
        'item 1 key (DEV_ITEMS DEV_ITEM 2)\n\t\tdevid 2 total_bytes 1 ',
      ),
    ],
  ])('parseChunkTree: throws on %s', (_, stdout) =>
    expect(() => parseChunkTree(stdout)).toThrow(UnexpectedOutputError),
  );
});

describe('readChunkTree', () => {
  it('readChunkTree: reads this device only, and no names of files', async () => {
    const { run, commands } = scriptedRun([[/^btrfs/, dup]]);
    await readChunkTree(run, '/dev/loop7');
    expect(commands).toEqual(['btrfs inspect-internal dump-tree --noscan --hide-names -t chunk /dev/loop7']);
  });
});
