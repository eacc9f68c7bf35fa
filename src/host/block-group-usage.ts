import { type Chunk, dumpTreeArgs } from './chunk-tree.ts';
import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

const TIMEOUT_MS = 60_000;
/** About 100 extents each; a chunk with more of them than this has short ones. */
const MOST_LEAVES = 128;
/** A leaf prints about 100 kB, so that one command stays below the runner's limit of output. */
const BLOCKS_AT_ONCE = 64;

interface TreeRoot {
  readonly block: number;
  readonly level: number;
}

/**
 * Bytes used in each chunk by its logical start, as of the last commit: sync the filesystem first. The tree that holds them also holds every
 * extent, so it is searched from its root down, a level with each command, instead of being read. The kernel may overwrite
 * a block meanwhile: throws {@link UnexpectedOutputError} then, and the caller looks again.
 */
export async function readChunkUsage(
  run: Run,
  device: string,
  chunks: readonly Chunk[],
): Promise<ReadonlyMap<number, number>> {
  const { stdout } = await run({ file: 'btrfs', args: dumpTreeArgs(device, ['-r']), timeoutMs: TIMEOUT_MS });
  const root = parseUsageRoot(stdout);
  let blocks = new Map<number, readonly number[]>([[root.block, chunks.map((chunk) => chunk.logicalStart)]]);
  for (let level = root.level; level > 0; level--) {
    const children = new Map<number, number[]>();
    for (const node of await readBlocks(run, device, [...blocks.keys()])) {
      const pointers = parsePointers(node.text);
      for (const start of blocks.get(node.block) ?? []) {
        const child = pointers.findLast((pointer) => pointer.start <= start);
        if (child === undefined) throw new UnexpectedOutputError('btrfs inspect-internal dump-tree -b', node.text);
        children.set(child.block, [...(children.get(child.block) ?? []), start]);
      }
    }
    blocks = children;
  }
  const leaves = await readBlocks(run, device, [...blocks.keys()]);
  const usage = new Map(leaves.flatMap((leaf) => parseBlockGroups(leaf.text)));
  const missing = chunks.find((chunk) => !usage.has(chunk.logicalStart));
  if (missing !== undefined) {
    throw new UnexpectedOutputError('btrfs inspect-internal dump-tree -b', `no block group ${missing.logicalStart}`);
  }
  return usage;
}

/**
 * Length of the longest extent in a data chunk, or undefined when so many extents are in it that reading them all isn't worth it.
 * As of the last commit; throws {@link UnexpectedOutputError} like {@link readChunkUsage}.
 */
export async function readLongestExtent(run: Run, device: string, chunk: Chunk): Promise<number | undefined> {
  const { stdout } = await run({ file: 'btrfs', args: dumpTreeArgs(device, ['-r']), timeoutMs: TIMEOUT_MS });
  const root = parseTreeRoot(stdout, 'extent');
  const endBytes = chunk.logicalStart + chunk.lengthBytes;
  let blocks = [root.block];
  for (let level = root.level; level > 0; level--) {
    const nodes = await readBlocks(run, device, blocks);
    const pointers = nodes.flatMap((node) => parsePointers(node.text)).toSorted((a, b) => a.start - b.start);
    const first = Math.max(
      0,
      pointers.findLastIndex((pointer) => pointer.start <= chunk.logicalStart),
    );
    blocks = pointers.slice(first).flatMap((pointer) => (pointer.start < endBytes ? [pointer.block] : []));
    if (blocks.length > MOST_LEAVES) return undefined;
  }
  const leaves = await readBlocks(run, device, blocks);
  const extents = leaves.flatMap((leaf) => [...leaf.text.matchAll(/^\s*item \d+ key \((\d+) EXTENT_ITEM (\d+)\)/gm)]);
  const lengths = extents.flatMap(([, start, length]) =>
    Number(start) >= chunk.logicalStart && Number(start) < endBytes ? [Number(length)] : [],
  );
  return lengths.reduce((longest, length) => Math.max(longest, length), 0);
}

/**
 * Where the tree with the block group items starts. Parses `dump-tree -r` (btrfs-progs 6.2):
 * `extent tree key (EXTENT_TREE ROOT_ITEM 0) 9781248 level 1`, or `block group tree key (BLOCK_GROUP_TREE …` with that feature.
 */
export function parseUsageRoot(stdout: string): TreeRoot {
  return /^block group tree key /m.test(stdout)
    ? parseTreeRoot(stdout, 'block group')
    : parseTreeRoot(stdout, 'extent');
}

function parseTreeRoot(stdout: string, name: string): TreeRoot {
  const match = stdout.match(new RegExp(`^${name} tree key \\(\\S+ ROOT_ITEM \\d+\\) (\\d+) level (\\d+)$`, 'm'));
  if (match === null) throw new UnexpectedOutputError('btrfs inspect-internal dump-tree -r', stdout);
  return { block: Number(match[1]), level: Number(match[2]) };
}

/** Parses the pointers of an inner node, `key (14340096 EXTENT_ITEM 8192) block 375324672 gen 8`, in key order. */
export function parsePointers(node: string): readonly { readonly start: number; readonly block: number }[] {
  return [...node.matchAll(/^\s*key \((\d+) \S+ \d+\) block (\d+) gen \d+$/gm)].map((match) => ({
    start: Number(match[1]),
    block: Number(match[2]),
  }));
}

/** Parses a leaf's `item 0 key (1048576 BLOCK_GROUP_ITEM 4194304) …` and the next line's `block group used 16384 …` into start and use. */
export function parseBlockGroups(leaf: string): readonly (readonly [number, number])[] {
  const items = leaf.matchAll(/^\s*item \d+ key \((\d+) BLOCK_GROUP_ITEM \d+\).*\n\s*block group used (\d+) /gm);
  return [...items].map((match) => [Number(match[1]), Number(match[2])] as const);
}

async function readBlocks(run: Run, device: string, blocks: readonly number[]) {
  const nodes: { readonly block: number; readonly text: string }[] = [];
  for (let first = 0; first < blocks.length; first += BLOCKS_AT_ONCE) {
    const args = blocks.slice(first, first + BLOCKS_AT_ONCE).flatMap((block) => ['-b', String(block)]);
    const { stdout } = await run({ file: 'btrfs', args: dumpTreeArgs(device, args), timeoutMs: TIMEOUT_MS });
    nodes.push(...splitBlocks(stdout));
  }
  return nodes;
}

/** Splits `dump-tree -b … -b …` at the lines `node 9781248 level 1 items …` and `leaf 5341184 items …`. */
function splitBlocks(stdout: string) {
  return stdout.split(/^(?=(?:node|leaf) \d+ (?:level \d+ )?items )/m).flatMap((text) => {
    const block = text.match(/^(?:node|leaf) (\d+) /)?.[1];
    return block === undefined ? [] : [{ block: Number(block), text }];
  });
}
