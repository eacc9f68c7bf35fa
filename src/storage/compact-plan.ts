import {
  chunkEnd,
  diskBytes,
  endOf,
  type Hole,
  holesBelow,
  type Layout,
  lastChunk,
  metadataCopies,
  metadataNeeded,
  neededBytes,
  nextChunk,
  slackOf,
  totalOf,
  type UsedChunk,
  usedOf,
  wantedChunkBytes,
} from './compact-layout.ts';

const MiB = 1024 * 1024;
/** Less than this is not worth moving a chunk for. */
const WORTHWHILE_BYTES = 16 * MiB;
/** Growing by any amount makes the kernel look for unallocated space again after it once found none (`btrfs_clear_space_info_full`). */
const SLIVER_BYTES = 64 * 1024;
/** Where the first copy of the superblock is on every device (`btrfs_sb_offset`). */
const SUPERBLOCK_OFFSET_BYTES = 64 * MiB;
/** The kernel refuses to shrink a filesystem below this (`btrfs_ioctl_resize`). */
export const SMALLEST_SIZE_BYTES = 256 * MiB;
/** A chunk smaller than this helps nobody. */
const SMALLEST_HOLE_BYTES = 4 * MiB;
/** The rest is not worth its writes. */
const CLOSE_ENOUGH = 1.05;
/** So many steps in vain before the run gives up. */
const MOVES_IN_VAIN = 6;
/** What a volume must have left when it can't be made as small as asked: some thousand small files and some large ones. */
const COMFORT_DATA_BYTES = 48 * MiB;
const COMFORT_METADATA_BYTES = 16 * MiB;

/** One thing to do. `roomBytes` is what the content finds where it is meant to go: a step that failed is tried again only with more of it. */
export type Step =
  /** An empty chunk goes. */
  | { readonly kind: 'drop'; readonly chunk: UsedChunk; readonly roomBytes: number }
  /**
   * The last chunk is emptied by a resize to where it starts. The kernel counts the chunk as allocated meanwhile and so makes hardly any
   * new chunk: the content goes into what is free in others, also of another size class, which it else avoids.
   */
  | {
      readonly kind: 'squeeze' | 'tighten';
      readonly chunk: UsedChunk;
      readonly sizeBytes: number;
      readonly roomBytes: number;
    }
  /** The filesystem gets this size, then the chunk's content goes where the kernel finds place. */
  | {
      readonly kind: 'move';
      readonly why: Reason;
      readonly chunk: UsedChunk;
      readonly sizeBytes: number;
      readonly roomBytes: number;
    }
  /** Nothing moves before the length of its longest extent is known. */
  | { readonly kind: 'inspect'; readonly chunk: UsedChunk }
  | { readonly kind: 'finish'; readonly sizeBytes: number; readonly outcome: 'reached' | 'as-small-as-it-gets' };

/**
 * Why a chunk moves: into holes below it (`lower`), the same with the filesystem larger meanwhile, for extents longer than the chunks of a small
 * one (`lift`), into what is free in other chunks (`fold`), to scratch space behind the end (`repack`), metadata into a chunk of the right size (`resettle`).
 */
type Reason = 'lower' | 'lift' | 'fold' | 'slide' | 'repack' | 'resettle';

/** A step that writes. */
export type MovingStep = Exclude<Step, { kind: 'finish' | 'inspect' }>;

/** What earlier steps of this run taught. Keys name a chunk and a way to move it. */
export interface History {
  /** Steps that found no place, with the free space there was for them then. */
  readonly failed: ReadonlyMap<string, number>;
  /** Steps since the end was last lower than ever before that did not bring it down themselves. */
  readonly movesInVain: number;
  /** Longest extent by logical start of the chunk, where one was asked for; 0 when there are too many to know. */
  readonly longestExtents: ReadonlyMap<number, number>;
}

export interface Goal {
  readonly stopAtBytes: number;
}

export function stepKey(step: MovingStep): string {
  if (step.kind !== 'move') return `${step.kind} ${step.chunk.logicalStart}`;
  // Metadata gets a new place each time and would be moved to and fro.
  return step.why === 'resettle' ? step.why : `${step.why} ${step.chunk.logicalStart}`;
}

/**
 * The next step towards the smallest size: drop what is empty, lower the last chunk as long as the space below takes it, and when it doesn't, make space below
 * by moving a sparse chunk to scratch space behind the end, from where it comes down again. Pure. Metadata is never left to
 * a resize: without a place for it the kernel aborts the transaction and turns the filesystem read-only (seen with 6.18).
 */
export function decideStep(layout: Layout, goal: Goal, history: History): Step {
  const steps = [
    dropEmpty,
    finishWhenSmall,
    ensureMetadataRoom,
    squeezeLast,
    makeWayForMetadata,
    tightenLast,
    lowerLast,
    liftLast,
    giveUp,
    foldForMetadata,
    slide,
    repackSparsest,
  ];
  for (const decide of steps) {
    const step = decide(layout, goal, history);
    if (step !== undefined) return step;
  }
  return { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
}

type Decide = (layout: Layout, goal: Goal, history: History) => Step | undefined;

const giveUp: Decide = (layout, goal, history) => {
  if (history.movesInVain < MOVES_IN_VAIN) return undefined;
  return { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
};

const dropEmpty: Decide = (layout, _goal, history) => {
  const spareMetadata = totalOf(layout, 'metadata') - metadataNeeded(layout);
  const dataChunks = layout.chunks.filter((chunk) => chunk.kind === 'data').length;
  const spare = (chunk: UsedChunk) =>
    (chunk.kind === 'data' && dataChunks > 1) || (chunk.kind === 'metadata' && chunk.lengthBytes <= spareMetadata);
  return layout.chunks
    .filter((chunk) => chunk.usedBytes === 0 && spare(chunk))
    .map((chunk): MovingStep => ({ kind: 'drop', chunk, roomBytes: 0 }))
    .find((step) => isWorthTrying(history, step));
};

const finishWhenSmall: Decide = (layout, goal, history) => {
  const end = endOf(layout);
  const sizeBytes = comfortableSize(layout, goal);
  if (end <= goal.stopAtBytes && dataRoom(layout, goal.stopAtBytes) >= dataRoomWanted(layout, goal)) {
    return settleMetadata(layout, goal, history) ?? { kind: 'finish', sizeBytes: goal.stopAtBytes, outcome: 'reached' };
  }
  if (sizeBytes > Math.max(neededBytes(layout), goal.stopAtBytes) * CLOSE_ENOUGH) return undefined;
  return { kind: 'finish', sizeBytes, outcome: 'as-small-as-it-gets' };
};

/** Data that is written later takes unallocated space in large pieces: metadata gets its share before little of that is left. */
function settleMetadata(layout: Layout, goal: Goal, history: History): MovingStep | undefined {
  const unallocated = goal.stopAtBytes - allocatedOf(layout);
  const deficit = metadataDeficit(layout);
  if (deficit === 0 || unallocated >= deficit + 3 * wantedChunkBytes('data', goal.stopAtBytes)) return undefined;
  return resettleMetadata(layout, history, Number.POSITIVE_INFINITY);
}

/** Moving data writes metadata: there must be some to write to before anything is moved. */
const ensureMetadataRoom: Decide = (layout, goal, history) => {
  if (metadataDeficit(layout) === 0) return undefined;
  const step = foldBesideMetadata(layout, history) ?? resettleMetadata(layout, history, Number.POSITIVE_INFINITY);
  return step ?? { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
};

/** A little data goes whose place, together with that of the metadata, holds the metadata chunk to come: mkfs puts small ones side by side. */
function foldBesideMetadata(layout: Layout, history: History): MovingStep | undefined {
  const needed = metadataNeeded(layout) * metadataCopies(layout);
  const without = layout.chunks.filter((chunk) => chunk.kind !== 'metadata');
  const candidates = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && chunk.lengthBytes <= WORTHWHILE_BYTES)
    .filter((chunk) => largestHole({ ...layout, chunks: without }) < needed)
    .filter((chunk) => largestHole({ ...layout, chunks: without.filter((other) => other !== chunk) }) >= needed);
  return firstOf(candidates, (chunk) => foldData(layout, chunk, history));
}

const squeezeLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const step: MovingStep = {
    kind: 'squeeze',
    chunk,
    sizeBytes: Math.max(SMALLEST_SIZE_BYTES, chunk.physicalStarts[0] ?? 0),
    roomBytes: slackBeside(layout, chunk),
  };
  return step.roomBytes >= chunk.usedBytes && isWorthTrying(history, step) ? step : undefined;
};

/**
 * The last chunk goes into holes below it and the filesystem ends behind what it needs of the one before it, so that the new chunk is no larger than the
 * old one. The kernel makes a chunk during a resize only if the holes are together as large as the chunk that goes.
 */
const tightenLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk === undefined || chunk.kind === 'system' || chunk.usedBytes === 0) return undefined;
  const others = { ...layout, chunks: layout.chunks.filter((other) => other !== chunk) };
  const previousEnd = endOf(others);
  const elsewhere = holesBelow(others, previousEnd).reduce((sum, hole) => sum + hole.lengthBytes, 0);
  const sizeBytes = Math.max(SMALLEST_SIZE_BYTES, previousEnd + Math.max(0, diskBytes(chunk) - elsewhere));
  if (sizeBytes > Math.min(chunkEnd(chunk) - SMALLEST_HOLE_BYTES, ...chunk.physicalStarts)) return undefined;
  const step: MovingStep = { kind: 'tighten', chunk, sizeBytes, roomBytes: chunkEnd(chunk) - sizeBytes };
  const place = nextChunk(others, sizeBytes, chunk.kind === 'metadata' ? 'metadata' : 'data');
  if (place === undefined || !isWorthTrying(history, step)) return undefined;
  if (chunk.kind === 'metadata') {
    const fits = totalOf(others, 'metadata') + place.lengthBytes >= metadataNeeded(layout);
    // Data that is written meanwhile must not need the hole for a new chunk of its own.
    return fits && slackBeside(layout, chunk) >= WORTHWHILE_BYTES ? step : undefined;
  }
  return inspected(history, chunk, place, step);
};

/** A metadata chunk of the right size at the end leaves the holes to the data below it and then takes the place of that. */
const makeWayForMetadata: Decide = (layout, _goal, history) => {
  const last = lastChunk(layout);
  if (last?.kind !== 'metadata' || last.lengthBytes > roundUp(metadataNeeded(layout)) + SMALLEST_HOLE_BYTES)
    return undefined;
  const chunk = highestData(layout);
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const place = nextChunk(layout, sizeBytes, 'data');
  if (chunk === undefined || place === undefined || place.startBytes > (chunk.physicalStarts[0] ?? 0)) return undefined;
  if (chunk.usedBytes > largestHole(layout) + slackBeside(layout, chunk) / 2) return undefined;
  const step: MovingStep = { kind: 'move', why: 'slide', chunk, sizeBytes, roomBytes: place.lengthBytes };
  return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
};

function highestData(layout: Layout): UsedChunk | undefined {
  return layout.chunks.filter((chunk) => chunk.kind === 'data').toSorted((a, b) => chunkEnd(b) - chunkEnd(a))[0];
}

/** The step, if the chunk's extents fit into an empty chunk at `place`. */
function inspected(history: History, chunk: UsedChunk, place: Hole, step: MovingStep): Step | undefined {
  const longest = history.longestExtents.get(chunk.logicalStart);
  if (longest === undefined) return { kind: 'inspect', chunk };
  return longest <= longestFree(place.startBytes, place.lengthBytes) ? step : undefined;
}

const lowerLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk === undefined || chunk.kind === 'system') return undefined;
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const roomBytes = chunk.kind === 'metadata' ? metadataRoomBeside(layout, chunk, sizeBytes) : roomBelow(layout, chunk);
  const needed = chunk.kind === 'metadata' ? metadataNeeded(layout) : chunk.usedBytes;
  const step: MovingStep = { kind: 'move', why: 'lower', chunk, sizeBytes, roomBytes };
  return roomBytes >= needed && largestHole(layout) >= SMALLEST_HOLE_BYTES && isWorthTrying(history, step)
    ? step
    : undefined;
};

const liftLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const end = endOf(layout);
  const hole = largestHole(layout);
  // The kernel takes the largest hole, so the space behind the end must stay smaller than the one below.
  const sizeBytes = Math.min(layout.capacityBytes, end + hole - MiB);
  const gain = Math.min(hole, wantedChunkBytes('data', sizeBytes)) - wantedChunkBytes('data', end);
  const roomBytes = roomBelow(layout, chunk);
  if (hole < WORTHWHILE_BYTES || gain <= 0 || roomBytes < chunk.usedBytes) return undefined;
  const step: MovingStep = { kind: 'move', why: 'lift', chunk, sizeBytes, roomBytes };
  return isWorthTrying(history, step) ? step : undefined;
};

/** Metadata at the end that finds no hole: the least content goes whose place is large enough. */
const foldForMetadata: Decide = (layout, _goal, history) => {
  if (lastChunk(layout)?.kind === 'data') return undefined;
  const needed = metadataNeeded(layout) * metadataCopies(layout);
  const candidates = layout.chunks
    .filter((chunk) => chunk.kind === 'data')
    .filter((chunk) => largestHole({ ...layout, chunks: layout.chunks.filter((other) => other !== chunk) }) >= needed)
    .toSorted((a, b) => a.usedBytes - b.usedBytes);
  return firstOf(candidates, (chunk) => foldData(layout, chunk, history));
};

/** Without any space behind the end, so that the content goes into other chunks and not into a new one. */
function foldData(layout: Layout, chunk: UsedChunk, history: History): MovingStep | undefined {
  const step: MovingStep = {
    kind: 'move',
    why: 'fold',
    chunk,
    sizeBytes: endOf(layout),
    roomBytes: slackBeside(layout, chunk),
  };
  const content = chunk.usedBytes > 0 && largestHole(layout) < WORTHWHILE_BYTES;
  return content && step.roomBytes >= chunk.usedBytes && isWorthTrying(history, step) ? step : undefined;
}

const repackSparsest: Decide = (layout, _goal, history) => {
  const data = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && repackGain(layout, chunk) >= WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes / repackGain(layout, a) - b.usedBytes / repackGain(layout, b));
  return (
    firstOf(data, (chunk) => foldData(layout, chunk, history) ?? repackData(layout, chunk, history)) ??
    shrinkMetadata(layout, history)
  );
};

/** What becomes free when the content gets chunks of the size that the kernel makes now. */
function repackGain(layout: Layout, chunk: UsedChunk): number {
  if (chunk.usedBytes === 0) return 0;
  if (chunk === highestData(layout)) return chunk.lengthBytes - roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
  const wanted = wantedChunkBytes('data', scratchEnd(layout, chunk));
  return chunk.lengthBytes - Math.ceil(chunk.usedBytes / wanted) * wanted;
}

function scratchEnd(layout: Layout, chunk: UsedChunk): number {
  return endOf(layout) + roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
}

/** The scratch space must come down again, into the place that the chunk leaves: that takes extents which fit there. */
function repackData(layout: Layout, chunk: UsedChunk, history: History): Step | undefined {
  const end = scratchEnd(layout, chunk);
  if (layout.capacityBytes - endOf(layout) + roomBelow(layout, chunk) < chunk.usedBytes) return undefined;
  const sizeBytes = Math.min(layout.capacityBytes, end);
  const step: MovingStep = { kind: 'move', why: 'repack', chunk, sizeBytes, roomBytes: sizeBytes - chunk.lengthBytes };
  const lengthBytes = Math.min(chunk.lengthBytes, wantedChunkBytes('data', end));
  const place = { startBytes: chunk.physicalStarts[0] ?? 0, lengthBytes };
  return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
}

/** Moves a chunk into the largest hole below it where that joins holes to one that is larger. */
const slide: Decide = (layout, _goal, history) => {
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const place = nextChunk(layout, sizeBytes, 'data');
  if (place === undefined || place.lengthBytes < WORTHWHILE_BYTES) return undefined;
  const last = lastChunk(layout);
  const candidates = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && chunk !== last && chunk.usedBytes > 0)
    .filter((chunk) => (chunk.physicalStarts[0] ?? 0) > place.startBytes && chunk.usedBytes <= place.lengthBytes - MiB)
    .filter((chunk) => joinedHole(layout, chunk, place) >= largestHole(layout) + WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes - b.usedBytes);
  return firstOf(candidates, (chunk) => {
    const step: MovingStep = { kind: 'move', why: 'slide', chunk, sizeBytes, roomBytes: place.lengthBytes };
    return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
  });
};

/** The hole there is where the chunk was, once its content is in a new chunk at `place`. */
function joinedHole(layout: Layout, chunk: UsedChunk, place: Hole): number {
  const moved = { ...chunk, lengthBytes: place.lengthBytes, physicalStarts: [place.startBytes] };
  const after = { ...layout, chunks: layout.chunks.map((other) => (other === chunk ? moved : other)) };
  const start = chunk.physicalStarts[0] ?? 0;
  const hole = holesBelow(after, endOf(after)).find(
    ({ startBytes, lengthBytes }) => startBytes <= start && start < startBytes + lengthBytes,
  );
  return hole?.lengthBytes ?? 0;
}

/** Free bytes at a stretch in an empty data chunk: the second superblock, at 64 MiB of the device, divides the one it is in. */
function longestFree(startBytes: number, lengthBytes: number): number {
  const before = SUPERBLOCK_OFFSET_BYTES - startBytes;
  if (before < 0 || before >= lengthBytes) return lengthBytes;
  return Math.max(before, lengthBytes - before - SLIVER_BYTES);
}

/** Oversized metadata goes to the end, if there is something to be gained when it has come down again from there. */
function shrinkMetadata(layout: Layout, history: History): Step | undefined {
  const [chunk] = layout.chunks
    .filter((candidate) => candidate.kind === 'metadata')
    .toSorted((a, b) => slackOf(b) - slackOf(a));
  if (chunk === undefined) return undefined;
  const total = totalOf(layout, 'metadata');
  const copies = metadataCopies(layout);
  const scratch = roundUp(metadataNeeded(layout)) * copies;
  const wanted = wantedChunkBytes('metadata', endOf(layout) + scratch);
  const gain = (total - Math.max(metadataNeeded(layout), total - chunk.lengthBytes + wanted)) * copies;
  if (gain >= WORTHWHILE_BYTES) return resettleMetadata(layout, history, total - 1);
  const data = highestData(layout);
  const without = { ...layout, chunks: layout.chunks.filter((other) => other !== chunk) };
  const place = nextChunk(without, endOf(layout) + scratch, 'data');
  if (
    data === undefined ||
    place === undefined ||
    data.usedBytes > largestHole(without) + slackBeside(layout, data) / 2
  )
    return undefined;
  const after = endOf({ ...without, chunks: without.chunks.filter((other) => other !== data) }) + scratch;
  const step = after <= endOf(layout) - WORTHWHILE_BYTES ? resettleMetadata(layout, history, total - 1) : undefined;
  return step && inspected(history, data, place, step);
}

/** Moves the metadata chunk with the most slack so that there is enough metadata space and at most `mostBytes` (one copy). */
function resettleMetadata(layout: Layout, history: History, mostBytes: number): MovingStep | undefined {
  const copies = metadataCopies(layout);
  const needed = metadataNeeded(layout);
  const [chunk] = layout.chunks
    .filter((candidate) => candidate.kind === 'metadata')
    .toSorted((a, b) => slackOf(b) - slackOf(a));
  if (chunk === undefined) return undefined;
  const end = endOf(layout);
  const rest = totalOf(layout, 'metadata') - chunk.lengthBytes;
  const sizes = [end, end + roundUp(needed - rest) * copies, layout.capacityBytes];
  return firstOf(sizes, (sizeBytes): MovingStep | undefined => {
    const after = metadataRoomBeside(layout, chunk, sizeBytes);
    const step: MovingStep = { kind: 'move', why: 'resettle', chunk, sizeBytes, roomBytes: layout.capacityBytes - end };
    const fits = sizeBytes >= end && sizeBytes <= layout.capacityBytes && after >= needed && after <= mostBytes;
    return fits && isWorthTrying(history, step) ? step : undefined;
  });
}

/** Metadata space (one copy) after this chunk is gone: the others, and a new one if they don't suffice. */
function metadataRoomBeside(layout: Layout, chunk: UsedChunk, sizeBytes: number): number {
  const rest = totalOf(layout, 'metadata') - chunk.lengthBytes;
  return rest >= metadataNeeded(layout) ? rest : rest + (nextChunk(layout, sizeBytes, 'metadata')?.lengthBytes ?? 0);
}

function slackBeside(layout: Layout, chunk: UsedChunk): number {
  return totalOf(layout, 'data') - usedOf(layout, 'data') - slackOf(chunk);
}

function largestHole(layout: Layout): number {
  return Math.max(0, ...holesBelow(layout, endOf(layout)).map((hole) => hole.lengthBytes));
}

/** Room for a data chunk's content without anything behind it: slack of other data chunks, and holes but for what metadata lacks. */
function roomBelow(layout: Layout, chunk: UsedChunk): number {
  const slack = slackBeside(layout, chunk);
  const holes = holesBelow(layout, chunk.physicalStarts[0] ?? 0).reduce((sum, hole) => sum + hole.lengthBytes, 0);
  return slack + holes;
}

function allocatedOf(layout: Layout): number {
  return layout.chunks.reduce((sum, chunk) => sum + diskBytes(chunk), MiB);
}

/** Bytes on disk that metadata lacks in its chunks. */
function metadataDeficit(layout: Layout): number {
  return Math.max(0, metadataNeeded(layout) - totalOf(layout, 'metadata')) * metadataCopies(layout);
}

/** What data finds in a filesystem of this size after metadata took what it lacks; negative if that is not there. */
function dataRoom(layout: Layout, sizeBytes: number): number {
  const slack = totalOf(layout, 'data') - usedOf(layout, 'data');
  return slack + sizeBytes - allocatedOf(layout) - metadataDeficit(layout);
}

/** Free space inside metadata chunks is of no use to data: a size is reached only when data can be written there. */
function dataRoomWanted(layout: Layout, goal: Goal): number {
  return Math.max(0, Math.min(COMFORT_DATA_BYTES, goal.stopAtBytes - neededBytes(layout)));
}

/** The smallest size that nothing has to move for and that leaves a volume in which files can be created. */
function comfortableSize(layout: Layout, goal: Goal): number {
  const end = endOf(layout);
  const holes = end - allocatedOf(layout);
  const metadata = metadataNeeded(layout) + COMFORT_METADATA_BYTES - totalOf(layout, 'metadata');
  const data = COMFORT_DATA_BYTES + usedOf(layout, 'data') - totalOf(layout, 'data');
  const lacking = Math.max(0, metadata) * metadataCopies(layout) + Math.max(0, data);
  return Math.min(layout.capacityBytes, Math.max(goal.stopAtBytes, end + Math.max(0, Math.ceil(lacking - holes))));
}

/** False for what found no place before, unless there is more room now. */
function isWorthTrying(history: History, step: MovingStep): boolean {
  const failedWith = history.failed.get(stepKey(step));
  return failedWith === undefined || step.roomBytes >= failedWith + WORTHWHILE_BYTES;
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / WORTHWHILE_BYTES) * WORTHWHILE_BYTES;
}

function firstOf<T, R>(items: readonly T[], pick: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const picked = pick(item);
    if (picked !== undefined) return picked;
  }
  return undefined;
}
