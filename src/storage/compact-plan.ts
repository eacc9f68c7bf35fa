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
/** Chunks of this size take any extent: none is longer (`BTRFS_MAX_EXTENT_SIZE`). */
const LARGEST_EXTENT_BYTES = 128 * MiB;
/** The rest is not worth its writes. */
const CLOSE_ENOUGH = 1.05;
/** So many chunks are moved to scratch space without the end coming down before the run gives up. */
const MOVES_IN_VAIN = 4;
/** What a volume must have left when it can't be made as small as asked: some thousand small files and some large ones. */
const COMFORT_DATA_BYTES = 48 * MiB;
const COMFORT_METADATA_BYTES = 16 * MiB;

/** One thing to do. `sizeBytes` is the size that the filesystem gets for it. */
export type Step =
  /** An empty chunk goes. */
  | { readonly kind: 'drop'; readonly chunk: UsedChunk; readonly roomBytes: number }
  /** The last chunk is emptied into what is free below it and the filesystem ends where it started; one resize. */
  | { readonly kind: 'lower'; readonly chunk: UsedChunk; readonly sizeBytes: number; readonly roomBytes: number }
  /** The filesystem gets this size, then the chunk's content moves to where the kernel finds place. */
  | { readonly kind: 'move'; readonly chunk: UsedChunk; readonly sizeBytes: number; readonly why: 'lift' | 'repack'; readonly roomBytes: number }
  | { readonly kind: 'finish'; readonly sizeBytes: number; readonly outcome: 'reached' | 'as-small-as-it-gets' };

/** A step that writes. */
export type MovingStep = Exclude<Step, { kind: 'finish' }>;

/** What earlier steps of this run taught. Keys name a chunk and a way to move it. */
export interface History {
  /** Steps that found no place, with the free space there was for them then. */
  readonly failed: ReadonlyMap<string, number>;
  /** Chunks moved to scratch space since the end was last lower than ever before. */
  readonly movesInVain: number;
}

export interface Goal {
  readonly stopAtBytes: number;
}

export function stepKey(step: MovingStep): string {
  switch (step.kind) {
    case 'drop':
    case 'lower':
      return `${step.kind} ${step.chunk.logicalStart}`;
    case 'move':
      return `${step.kind} ${step.why} ${step.chunk.logicalStart}`;
    default:
      return step satisfies never;
  }
}

/**
 * The next step towards the smallest size: drop what is empty, lower the last chunk as long as the space below takes it, and when it doesn't, make space below
 * by moving a sparse chunk to scratch space behind the end, from where it comes down again. Pure. Metadata is never left to
 * a resize: without a place for it the kernel aborts the transaction and turns the filesystem read-only (seen with 6.18).
 */
export function decideStep(layout: Layout, goal: Goal, history: History): Step {
  const steps = [dropEmpty, finishWhenSmall, ensureMetadataRoom, lowerLast, liftLast, repackSparsest];
  for (const decide of steps) {
    const step = decide(layout, goal, history);
    if (step !== undefined) return step;
  }
  return { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
}

type Decide = (layout: Layout, goal: Goal, history: History) => Step | undefined;

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
  const step = moveMetadata(layout, history, Number.POSITIVE_INFINITY);
  return step ?? { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome: 'as-small-as-it-gets' };
};

const lowerLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk === undefined || chunk.kind !== 'data') return undefined;
  const roomBytes = roomBelow(layout, chunk);
  const step: MovingStep = { kind: 'lower', chunk, sizeBytes: chunk.physicalStarts[0] ?? 0, roomBytes };
  return roomBytes >= chunk.usedBytes && isWorthTrying(history, step) ? step : undefined;
};

/** What `lower` can't do: metadata, and extents that are longer than the chunks of a smaller filesystem. */
const liftLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind === 'metadata') return liftMetadata(layout, chunk, history);
  if (chunk?.kind !== 'data') return undefined;
  const end = endOf(layout);
  const hole = Math.max(0, ...holesBelow(layout, end).map((candidate) => candidate.lengthBytes));
  // The kernel takes the largest hole, so the space behind the end must stay smaller than the one below.
  const sizeBytes = Math.min(layout.capacityBytes, end + hole - MiB);
  const gain = Math.min(hole, wantedChunkBytes('data', sizeBytes)) - wantedChunkBytes('data', chunk.physicalStarts[0] ?? 0);
  if (hole < WORTHWHILE_BYTES || gain <= 0) return undefined;
  const roomBytes = roomBelow(layout, chunk);
  const step: MovingStep = { kind: 'move', chunk, sizeBytes, why: 'lift', roomBytes };
  return roomBytes >= chunk.usedBytes && isWorthTrying(history, step) ? step : undefined;
};

function liftMetadata(layout: Layout, chunk: UsedChunk, history: History): Step | undefined {
  const sizeBytes = endOf(layout);
  const next = nextChunk(layout, sizeBytes, 'metadata');
  const roomBytes = totalOf(layout, 'metadata') - chunk.lengthBytes + (next?.lengthBytes ?? 0);
  const step: MovingStep = { kind: 'move', chunk, sizeBytes, why: 'lift', roomBytes };
  return roomBytes >= metadataNeeded(layout) && isWorthTrying(history, step) ? step : undefined;
}

const repackSparsest: Decide = (layout, _goal, history) => {
  if (history.movesInVain >= MOVES_IN_VAIN) return undefined;
  const data = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && slackOf(chunk) >= WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes / a.lengthBytes - b.usedBytes / b.lengthBytes);
  const spareMetadata = (totalOf(layout, 'metadata') - metadataNeeded(layout)) * metadataCopies(layout);
  const metadata = () => moveMetadata(layout, history, totalOf(layout, 'metadata') - WORTHWHILE_BYTES);
  const first = spareMetadata > Math.max(0, ...data.map(slackOf)) ? metadata() : undefined;
  return first ?? firstOf(data, (chunk) => repackData(layout, chunk, history)) ?? metadata();
};

function repackData(layout: Layout, chunk: UsedChunk, history: History): Step | undefined {
  const end = endOf(layout);
  const scratch = roundUp(chunk.usedBytes + WORTHWHILE_BYTES);
  const room = layout.capacityBytes - end + roomBelow(layout, chunk);
  if (room < chunk.usedBytes) return undefined;
  for (const bytes of [end + scratch, Math.max(end + scratch, LARGEST_EXTENT_BYTES * 9)]) {
    const sizeBytes = Math.min(layout.capacityBytes, bytes);
    const step: MovingStep = { kind: 'move', chunk, sizeBytes, why: 'repack', roomBytes: sizeBytes - chunk.lengthBytes };
    if (isWorthTrying(history, step)) return step;
  }
  return undefined;
}

/** Moves the metadata chunk with the most slack so that there is enough metadata space and at most `mostBytes` (one copy). */
function moveMetadata(layout: Layout, history: History, mostBytes: number): Step | undefined {
  const copies = metadataCopies(layout);
  const needed = metadataNeeded(layout);
  const [chunk] = layout.chunks.filter((candidate) => candidate.kind === 'metadata').toSorted((a, b) => slackOf(b) - slackOf(a));
  if (chunk === undefined) return undefined;
  const end = endOf(layout);
  const rest = totalOf(layout, 'metadata') - chunk.lengthBytes;
  const sizes = [end, end + roundUp(needed - rest) * copies, layout.capacityBytes].filter((size) => size >= end && size <= layout.capacityBytes);
  return firstOf(sizes, (sizeBytes): MovingStep | undefined => {
    const after = rest >= needed ? rest : rest + (nextChunk(layout, sizeBytes, 'metadata')?.lengthBytes ?? 0);
    const step: MovingStep = { kind: 'move', chunk, sizeBytes, why: 'repack', roomBytes: sizeBytes };
    return after >= needed && after <= mostBytes && isWorthTrying(history, step) ? step : undefined;
  });
}

/** Room for a data chunk's content without anything behind it: slack of other data chunks, and holes but for what metadata lacks. */
function roomBelow(layout: Layout, chunk: UsedChunk): number {
  const slack = totalOf(layout, 'data') - usedOf(layout, 'data') - slackOf(chunk);
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
