import {
  chunkEnd,
  diskBytes,
  endOf,
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
/** Chunks of this size take any extent: none is longer (`BTRFS_MAX_EXTENT_SIZE`). */
const LARGEST_EXTENT_BYTES = 128 * MiB;
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
  | { readonly kind: 'squeeze'; readonly chunk: UsedChunk; readonly sizeBytes: number; readonly roomBytes: number }
  /** The filesystem gets this size, then the chunk's content goes where the kernel finds place. */
  | {
      readonly kind: 'move';
      readonly why: Reason;
      readonly chunk: UsedChunk;
      readonly sizeBytes: number;
      readonly roomBytes: number;
    }
  | { readonly kind: 'finish'; readonly sizeBytes: number; readonly outcome: 'reached' | 'as-small-as-it-gets' };

/**
 * Why a chunk moves: into holes below it (`lower`), the same with the filesystem larger meanwhile, for extents longer than the chunks of a small
 * one (`lift`), into what is free in other chunks (`fold`), to scratch space behind the end (`repack`), metadata into a chunk of the right size (`resettle`).
 */
type Reason = 'lower' | 'lift' | 'fold' | 'repack' | 'resettle';

/** A step that writes. */
export type MovingStep = Exclude<Step, { kind: 'finish' }>;

/** What earlier steps of this run taught. Keys name a chunk and a way to move it. */
export interface History {
  /** Steps that found no place, with the free space there was for them then. */
  readonly failed: ReadonlyMap<string, number>;
  /** Steps since the end was last lower than ever before that did not bring it down themselves. */
  readonly movesInVain: number;
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
    giveUp,
    ensureMetadataRoom,
    squeezeLast,
    lowerLast,
    liftLast,
    foldHighest,
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

const finishWhenSmall: Decide = (layout, goal) => {
  const end = endOf(layout);
  const sizeBytes = comfortableSize(layout, goal);
  if (end <= goal.stopAtBytes && dataRoom(layout, goal.stopAtBytes) >= dataRoomWanted(layout, goal)) {
    return { kind: 'finish', sizeBytes: goal.stopAtBytes, outcome: 'reached' };
  }
  if (end > Math.max(neededBytes(layout), goal.stopAtBytes) * CLOSE_ENOUGH) return undefined;
  return { kind: 'finish', sizeBytes, outcome: 'as-small-as-it-gets' };
};

/** Moving data writes metadata: there must be some to write to before anything is moved. */
const ensureMetadataRoom: Decide = (layout, goal, history) => {
  if (metadataDeficit(layout) === 0) return undefined;
  const step = resettleMetadata(layout, history, Number.POSITIVE_INFINITY);
  return step ?? { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
};

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

/** Metadata at the end that finds no hole waits for the data below it to make one. */
const foldHighest: Decide = (layout, _goal, history) => {
  if (lastChunk(layout)?.kind === 'data') return undefined;
  const [chunk] = layout.chunks
    .filter((candidate) => candidate.kind === 'data')
    .toSorted((a, b) => chunkEnd(b) - chunkEnd(a));
  return chunk === undefined ? undefined : foldData(layout, chunk, history);
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
  const content = chunk.usedBytes > 0 && largestHole(layout) < SMALLEST_HOLE_BYTES;
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
  const wanted = wantedChunkBytes('data', endOf(layout));
  return chunk.lengthBytes - Math.ceil(chunk.usedBytes / wanted) * wanted;
}

function repackData(layout: Layout, chunk: UsedChunk, history: History): MovingStep | undefined {
  const end = endOf(layout);
  const scratch = roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
  if (layout.capacityBytes - end + roomBelow(layout, chunk) < chunk.usedBytes) return undefined;
  const sizes = [end + scratch, Math.max(end + scratch, LARGEST_EXTENT_BYTES * 9)];
  return firstOf(sizes, (bytes): MovingStep | undefined => {
    const sizeBytes = Math.min(layout.capacityBytes, bytes);
    const step: MovingStep = {
      kind: 'move',
      why: 'repack',
      chunk,
      sizeBytes,
      roomBytes: sizeBytes - chunk.lengthBytes,
    };
    return isWorthTrying(history, step) ? step : undefined;
  });
}

/** Metadata comes down again from its scratch space into a chunk as large as the kernel makes them: there must be a gain in that. */
function shrinkMetadata(layout: Layout, history: History): MovingStep | undefined {
  const total = totalOf(layout, 'metadata');
  const largest = Math.max(
    0,
    ...layout.chunks.filter((chunk) => chunk.kind === 'metadata').map((chunk) => chunk.lengthBytes),
  );
  const scratch = roundUp(metadataNeeded(layout)) * metadataCopies(layout);
  const after = Math.max(
    metadataNeeded(layout),
    total - largest + wantedChunkBytes('metadata', endOf(layout) + scratch),
  );
  const gain = (total - after) * metadataCopies(layout);
  return gain >= WORTHWHILE_BYTES ? resettleMetadata(layout, history, total - 1) : undefined;
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
  return Math.min(layout.capacityBytes, Math.max(goal.stopAtBytes, end + Math.max(0, lacking - holes)));
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
