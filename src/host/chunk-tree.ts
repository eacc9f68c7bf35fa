import type { Run } from './command.ts';
import { UnexpectedOutputError } from './unexpected-output.ts';

export type ChunkKind = 'data' | 'metadata' | 'system' | 'mixed';

/** A chunk of the chunk tree: `lengthBytes` of logical space, and where its copies are on the device. */
export interface Chunk {
  readonly kind: ChunkKind;
  /** Logical start, what `-dvrange` counts in. */
  readonly logicalStart: number;
  readonly lengthBytes: number;
  /** Physical start of each copy: one for single, two for dup. */
  readonly physicalStarts: readonly number[];
}

export interface ChunkTree {
  /** Size of the filesystem on its device. */
  readonly sizeBytes: number;
  readonly chunks: readonly Chunk[];
}

/** Arguments that print from one device without looking at any other, which may hang. */
export function dumpTreeArgs(device: string, what: readonly string[]): readonly string[] {
  return ['inspect-internal', 'dump-tree', '--noscan', '--hide-names', ...what, device];
}

/**
 * The chunks as of the last commit: sync the filesystem first. Safe on a mounted filesystem: the tool drops the device's page
 * cache when it opens it. It may still meet a tree that changes under it; check the sums against the kernel's.
 */
export async function readChunkTree(run: Run, device: string): Promise<ChunkTree> {
  const { stdout } = await run({ file: 'btrfs', args: dumpTreeArgs(device, ['-t', 'chunk']), timeoutMs: 60_000 });
  return parseChunkTree(stdout);
}

/**
 * Parses `btrfs inspect-internal dump-tree -t chunk` (btrfs-progs 6.2) of a filesystem with one device. Throws {@link UnexpectedOutputError}.
 *
 *     item 0 key (DEV_ITEMS DEV_ITEM 1) itemoff 16185 itemsize 98
 *         devid 1 total_bytes 1073741824 bytes_used 373293056
 *     item 1 key (FIRST_CHUNK_TREE CHUNK_ITEM 1048576) itemoff 16105 itemsize 80
 *         length 4194304 owner 2 stripe_len 65536 type SYSTEM|single
 *             stripe 0 devid 1 offset 1048576
 */
export function parseChunkTree(stdout: string): ChunkTree {
  const [head = '', ...items] = stdout.split(/^\s*item \d+ key /m);
  const sizes = items.flatMap(
    (item) => item.match(/^\(DEV_ITEMS DEV_ITEM .*\n\s*devid \d+ total_bytes (\d+) /)?.[1] ?? [],
  );
  if (!/^chunk tree$/m.test(head) || sizes.length !== 1)
    throw new UnexpectedOutputError('btrfs inspect-internal dump-tree -t chunk', stdout);
  return {
    sizeBytes: Number(sizes[0]),
    chunks: items.filter((item) => item.includes(' CHUNK_ITEM ')).map(parseChunk),
  };
}

function parseChunk(item: string): Chunk {
  const start = item.match(/^\(FIRST_CHUNK_TREE CHUNK_ITEM (\d+)\)/)?.[1];
  const [, length, type = ''] = item.match(/^\s*length (\d+) owner \d+ stripe_len \d+ type (\S+)$/m) ?? [];
  const physicalStarts = [...item.matchAll(/^\s*stripe \d+ devid \d+ offset (\d+)$/gm)].map((match) =>
    Number(match[1]),
  );
  const kind = kindOf(type);
  if (start === undefined || length === undefined || kind === undefined || physicalStarts.length === 0) {
    throw new UnexpectedOutputError('btrfs inspect-internal dump-tree -t chunk', item);
  }
  return { kind, logicalStart: Number(start), lengthBytes: Number(length), physicalStarts };
}

function kindOf(type: string): ChunkKind | undefined {
  const flags = type.split('|');
  const [data, metadata] = [flags.includes('DATA'), flags.includes('METADATA')];
  if (data && metadata) return 'mixed';
  if (data) return 'data';
  if (metadata) return 'metadata';
  return flags.includes('SYSTEM') ? 'system' : undefined;
}
