import type { Chunk } from '../host/chunk-tree.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** The kernel allocates nothing in the first MiB of a device (`BTRFS_DEVICE_RANGE_RESERVED`). */
const RESERVED_BYTES = MiB;
/** A new chunk is at most a tenth of the filesystem, rounded up to this (`decide_stripe_size_regular` in fs/btrfs/volumes.c). */
const CHUNK_STEP_BYTES = 16 * MiB;
/** The largest chunk that the kernel looks for a place for (`init_alloc_chunk_ctl_policy_regular`). */
const LARGEST_CHUNK_BYTES = { data: GiB, metadata: 256 * MiB } as const;
/** Where the first copy of the superblock is on every device (`btrfs_sb_offset`), with 64 KiB that hold nothing else. */
const SUPERBLOCK = { offsetBytes: 64 * MiB, lengthBytes: 64 * 1024 } as const;
/** Metadata that must stay free beyond the kernel's own reserve: with less, moving a chunk can abort the transaction. */
export const METADATA_RESERVE_BYTES = 8 * MiB;

export interface UsedChunk extends Chunk {
  readonly usedBytes: number;
}

/** Where everything is on the device as of one commit: all that a step is decided from. */
export interface Layout {
  /** Size of the filesystem. */
  readonly sizeBytes: number;
  /** Size of the device, up to which the filesystem may grow for a while. */
  readonly capacityBytes: number;
  readonly chunks: readonly UsedChunk[];
  /** One copy of what the kernel sets aside of metadata. */
  readonly globalReserveBytes: number;
}

export interface Hole {
  readonly startBytes: number;
  readonly lengthBytes: number;
}

export function chunkEnd(chunk: Chunk): number {
  return Math.max(...chunk.physicalStarts) + chunk.lengthBytes;
}

/** Bytes of the device that a chunk takes, copies included. */
export function diskBytes(chunk: Chunk): number {
  return chunk.lengthBytes * chunk.physicalStarts.length;
}

export function slackOf(chunk: UsedChunk): number {
  return chunk.lengthBytes - chunk.usedBytes;
}

/** Where the last chunk ends: the filesystem can have this size without anything being moved. */
export function endOf(layout: Layout): number {
  return Math.max(RESERVED_BYTES, ...layout.chunks.map(chunkEnd));
}

/** The chunk that ends last, so that nothing gets smaller before it has moved. */
export function lastChunk(layout: Layout): UsedChunk | undefined {
  return layout.chunks.toSorted((a, b) => chunkEnd(b) - chunkEnd(a))[0];
}

/** Unallocated stretches of the device below `sizeBytes`, in order. */
export function holesBelow(layout: Layout, sizeBytes: number): readonly Hole[] {
  const extents = layout.chunks
    .flatMap((chunk) => chunk.physicalStarts.map((start) => ({ start, end: start + chunk.lengthBytes })))
    .toSorted((a, b) => a.start - b.start);
  const holes: Hole[] = [];
  let at = RESERVED_BYTES;
  for (const { start, end } of [...extents, { start: sizeBytes, end: sizeBytes }]) {
    const until = Math.min(start, sizeBytes);
    if (until > at) holes.push({ startBytes: at, lengthBytes: until - at });
    at = Math.max(at, end);
  }
  return holes;
}

export function bytesOf(holes: readonly Hole[]): number {
  return holes.reduce((sum, hole) => sum + hole.lengthBytes, 0);
}

/** How large the kernel would make a chunk in a filesystem of this size if there is a place for it. */
export function wantedChunkBytes(kind: 'data' | 'metadata', sizeBytes: number): number {
  const tenth = Math.ceil(sizeBytes / 10 / CHUNK_STEP_BYTES) * CHUNK_STEP_BYTES;
  return Math.min(tenth, LARGEST_CHUNK_BYTES[kind]);
}

/**
 * The chunk that the kernel would allocate next if the filesystem had this size: in the first hole that takes the largest possible chunk, else
 * in the largest hole, all of it if it is small (`find_free_dev_extent` in fs/btrfs/volumes.c).
 */
export function nextChunk(layout: Layout, sizeBytes: number, kind: 'data' | 'metadata'): Hole | undefined {
  const copies = kind === 'data' ? 1 : metadataCopies(layout);
  const holes = holesBelow(layout, sizeBytes);
  const largest = Math.max(0, ...holes.map((hole) => hole.lengthBytes));
  const wanted = LARGEST_CHUNK_BYTES[kind] * copies;
  const hole = holes.find((candidate) => candidate.lengthBytes >= Math.min(wanted, largest));
  if (hole === undefined) return undefined;
  const lengthBytes = Math.min(wantedChunkBytes(kind, sizeBytes), Math.floor(hole.lengthBytes / copies));
  return { startBytes: hole.startBytes, lengthBytes };
}

/** 2 with profile dup, else 1. */
export function metadataCopies(layout: Layout): number {
  return Math.max(
    1,
    ...layout.chunks.filter((chunk) => chunk.kind === 'metadata').map((chunk) => chunk.physicalStarts.length),
  );
}

export function totalOf(layout: Layout, kind: Chunk['kind']): number {
  return layout.chunks.reduce((sum, chunk) => (chunk.kind === kind ? sum + chunk.lengthBytes : sum), 0);
}

export function usedOf(layout: Layout, kind: Chunk['kind']): number {
  return layout.chunks.reduce((sum, chunk) => (chunk.kind === kind ? sum + chunk.usedBytes : sum), 0);
}

/** Bytes in use on the device, copies included. */
export function usedOnDisk(layout: Layout): number {
  return layout.chunks.reduce((sum, chunk) => sum + chunk.usedBytes * chunk.physicalStarts.length, 0);
}

/** One copy of the metadata that has to fit, with what the kernel and a moving chunk need beside it. */
export function metadataNeeded(layout: Layout): number {
  return usedOf(layout, 'metadata') + layout.globalReserveBytes + METADATA_RESERVE_BYTES;
}

/** About the smallest size that the content fits into with nothing wasted. */
export function neededBytes(layout: Layout): number {
  const systemChunks = layout.chunks.filter((chunk) => chunk.kind === 'system');
  return neededOf({
    dataBytes: usedOf(layout, 'data'),
    metadataBytes: usedOf(layout, 'metadata') + layout.globalReserveBytes,
    metadataCopies: metadataCopies(layout),
    systemBytes: systemChunks.reduce((sum, chunk) => sum + diskBytes(chunk), 0),
  });
}

export interface Content {
  readonly dataBytes: number;
  /** One copy, with the kernel's reserve. */
  readonly metadataBytes: number;
  readonly metadataCopies: number;
  /** System chunks on the device: they stay as they are. */
  readonly systemBytes: number;
}

export function neededOf({ dataBytes, metadataBytes, metadataCopies: copies, systemBytes }: Content): number {
  return RESERVED_BYTES + systemBytes + dataBytes + (metadataBytes + METADATA_RESERVE_BYTES) * copies;
}

export function highestData(layout: Layout): UsedChunk | undefined {
  return layout.chunks.filter((chunk) => chunk.kind === 'data').toSorted((a, b) => chunkEnd(b) - chunkEnd(a))[0];
}

export function slackBeside(layout: Layout, chunk: UsedChunk): number {
  return totalOf(layout, 'data') - usedOf(layout, 'data') - slackOf(chunk);
}

export function largestHole(layout: Layout): number {
  return Math.max(0, ...holesBelow(layout, endOf(layout)).map((hole) => hole.lengthBytes));
}

/** Room for a data chunk's content without anything behind it: slack of other data chunks, and holes but for what metadata lacks. */
export function roomBelow(layout: Layout, chunk: UsedChunk): number {
  const slack = slackBeside(layout, chunk);
  const holes = bytesOf(holesBelow(layout, chunk.physicalStarts[0] ?? 0));
  return slack + holes;
}

/** The hole there is where the chunk was, once its content is in a new chunk at `place`. */
export function joinedHole(layout: Layout, chunk: UsedChunk, place: Hole): number {
  const moved = { ...chunk, lengthBytes: place.lengthBytes, physicalStarts: [place.startBytes] };
  const after = { ...layout, chunks: layout.chunks.map((other) => (other === chunk ? moved : other)) };
  const start = chunk.physicalStarts[0] ?? 0;
  const hole = holesBelow(after, endOf(after)).find(
    ({ startBytes, lengthBytes }) => startBytes <= start && start < startBytes + lengthBytes,
  );
  return hole?.lengthBytes ?? 0;
}

/** Free bytes at a stretch in an empty data chunk: the second superblock, at 64 MiB of the device, divides the one it is in. */
export function longestFree(startBytes: number, lengthBytes: number): number {
  const before = SUPERBLOCK.offsetBytes - startBytes;
  if (before < 0 || before >= lengthBytes) return lengthBytes;
  return Math.max(before, lengthBytes - before - SUPERBLOCK.lengthBytes);
}

export function allocatedOf(layout: Layout): number {
  return layout.chunks.reduce((sum, chunk) => sum + diskBytes(chunk), MiB);
}

/** Bytes on disk that metadata lacks in its chunks. */
export function metadataDeficit(layout: Layout): number {
  return Math.max(0, metadataNeeded(layout) - totalOf(layout, 'metadata')) * metadataCopies(layout);
}

/**
 * True if a metadata chunk may move while files are written: metadata fits into the others, or finds a place for a new one even
 * after someone who writes got a chunk for data.
 */
export function outlastsWriters(layout: Layout, chunk: UsedChunk, sizeBytes: number): boolean {
  const needed = metadataNeeded(layout);
  if (totalOf(layout, 'metadata') - chunk.lengthBytes >= needed) return true;
  const taken = nextChunk(layout, sizeBytes, 'data');
  if (taken === undefined) return false;
  const data: UsedChunk = {
    ...chunk,
    kind: 'data',
    lengthBytes: taken.lengthBytes,
    physicalStarts: [taken.startBytes],
  };
  return metadataRoomBeside({ ...layout, chunks: [...layout.chunks, data] }, chunk, sizeBytes) >= needed;
}

/** Metadata space (one copy) after this chunk is gone: the others, and a new one if they don't suffice. */
export function metadataRoomBeside(layout: Layout, chunk: UsedChunk, sizeBytes: number): number {
  const rest = totalOf(layout, 'metadata') - chunk.lengthBytes;
  return rest >= metadataNeeded(layout) ? rest : rest + (nextChunk(layout, sizeBytes, 'metadata')?.lengthBytes ?? 0);
}
