import {
  bytesOf,
  chunkEnd,
  diskBytes,
  endOf,
  highestData,
  holesBelow,
  joinedHole,
  type Layout,
  largestHole,
  lastChunk,
  metadataNeeded,
  metadataRoomBeside,
  nextChunk,
  outlastsWriters,
  roomBelow,
  slackBeside,
  slackOf,
  type UsedChunk,
  wantedChunkBytes,
} from './compact-layout.ts';
import {
  type Decide,
  firstOf,
  type Goal,
  type History,
  inspected,
  isWorthTrying,
  leavesRoom,
  type MovingStep,
  roundUp,
  SLIVER_BYTES,
  SMALLEST_HOLE_BYTES,
  SMALLEST_SIZE_BYTES,
  type Step,
  WORTHWHILE_BYTES,
  writersRoom,
} from './compact-step.ts';

const MiB = 1024 * 1024;
/** A system chunk of a filesystem that isn't very small (`btrfs_calc_chunk_size` in fs/btrfs/space-info.c). */
const SYSTEM_CHUNK_BYTES = 32 * MiB;

/** A full chunk gains nothing by a squeeze that gets it a larger one. */
export const tightenFull: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  return chunk?.kind === 'data' && slackOf(chunk) < WORTHWHILE_BYTES ? tightenLast(layout, goal, history) : undefined;
};

export const squeezeLast: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const step: MovingStep = {
    kind: 'squeeze',
    chunk,
    sizeBytes: Math.max(SMALLEST_SIZE_BYTES, chunk.physicalStarts[0] ?? 0),
    roomBytes: slackBeside(layout, chunk),
  };
  if (!isWorthTrying(history, step)) return undefined;
  if (leavesRoom(layout, goal, chunk, step.roomBytes)) return step;
  return step.roomBytes >= chunk.usedBytes + SMALLEST_HOLE_BYTES ? { ...step, unlessWritten: true } : undefined;
};

/**
 * The last chunk goes into holes below it and the filesystem ends behind what it needs of the one before it, so that the new chunk is no larger than the
 * old one. The kernel makes a chunk during a resize only if the holes are together as large as the chunk that goes.
 */
export const tightenLast: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  // A resize closes the only metadata chunk before there is a new one: when data takes the space for that, the filesystem turns read-only.
  if (chunk?.kind !== 'data' || chunk.usedBytes === 0) return undefined;
  const others = { ...layout, chunks: layout.chunks.filter((other) => other !== chunk) };
  const previousEnd = endOf(others);
  const elsewhere = bytesOf(holesBelow(others, previousEnd));
  const sizeBytes = Math.max(SMALLEST_SIZE_BYTES, previousEnd + Math.max(0, diskBytes(chunk) - elsewhere));
  if (sizeBytes > Math.min(chunkEnd(chunk) - SMALLEST_HOLE_BYTES, ...chunk.physicalStarts)) return undefined;
  const step: MovingStep = { kind: 'tighten', chunk, sizeBytes, roomBytes: chunkEnd(chunk) - sizeBytes };
  const place = nextChunk(others, sizeBytes, 'data');
  if (place === undefined || !isWorthTrying(history, step)) return undefined;
  const roomBytes = slackBeside(layout, chunk) + bytesOf(holesBelow(others, sizeBytes));
  return leavesRoom(layout, goal, chunk, roomBytes) ? inspected(history, chunk, place, step) : undefined;
};

export const lowerLast: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk === undefined) return undefined;
  const holeBytes = largestHole(layout);
  const lacking = chunk.kind === 'data' ? chunk.usedBytes + writersRoom(layout, goal) - roomBelow(layout, chunk) : 0;
  // The kernel takes the largest hole first, so what writers find behind the end must stay smaller.
  const behind = Math.max(SLIVER_BYTES, lacking);
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + behind);
  const alone = chunk.kind === 'system' || (chunk.kind === 'metadata' && !outlastsWriters(layout, chunk, sizeBytes));
  const step: MovingStep = { kind: 'lower', chunk, sizeBytes, roomBytes: holeBytes, alone };
  const fits = holeBytes >= SMALLEST_HOLE_BYTES && behind < holeBytes && fitsBelow(layout, chunk);
  return fits && isWorthTrying(history, step) ? step : undefined;
};

function fitsBelow(layout: Layout, chunk: UsedChunk): boolean {
  if (chunk.kind === 'metadata') return metadataRoomBeside(layout, chunk, endOf(layout)) >= metadataNeeded(layout);
  // A new system chunk has this size, whatever is in it.
  if (chunk.kind === 'system') return largestHole(layout) >= SYSTEM_CHUNK_BYTES * chunk.physicalStarts.length;
  return roomBelow(layout, chunk) >= chunk.usedBytes;
}

/** Into one chunk that is hardly larger than the content: what is in one piece leaves no gaps that no extent fits into. */
export const liftWhole: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const end = endOf(layout);
  const hole = largestHole(layout);
  const lengthBytes = roundUp(chunk.usedBytes + MiB);
  const sizeBytes = Math.max(end + SLIVER_BYTES, 10 * (lengthBytes - WORTHWHILE_BYTES) + MiB);
  if (Math.min(hole, lengthBytes) < chunk.usedBytes + MiB || wantedChunkBytes('data', end) >= lengthBytes)
    return undefined;
  if (sizeBytes > Math.min(layout.capacityBytes, end + hole - MiB)) return undefined;
  if (!leavesRoom(layout, goal, chunk, roomBelow(layout, chunk))) return undefined;
  const step: MovingStep = { kind: 'lift', chunk, sizeBytes, roomBytes: hole };
  return isWorthTrying(history, step) ? step : undefined;
};

/** For extents that are longer than the chunks of a smaller filesystem: it is larger meanwhile. */
export const liftLast: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const end = endOf(layout);
  const hole = largestHole(layout);
  // The kernel takes the largest hole, so the space behind the end must stay smaller than the one below.
  const sizeBytes = Math.min(layout.capacityBytes, end + hole - MiB);
  const gain = Math.min(hole, wantedChunkBytes('data', sizeBytes)) - wantedChunkBytes('data', end);
  if (hole < WORTHWHILE_BYTES || gain <= 0) return undefined;
  if (!leavesRoom(layout, goal, chunk, roomBelow(layout, chunk))) return undefined;
  const step: MovingStep = { kind: 'lift', chunk, sizeBytes, roomBytes: hole };
  return isWorthTrying(history, step) ? step : undefined;
};

/** Without any space behind the end, so that the content goes into other chunks and not into a new one. */
export function foldData(layout: Layout, goal: Goal, chunk: UsedChunk, history: History): MovingStep | undefined {
  const step: MovingStep = {
    kind: 'fold',
    chunk,
    sizeBytes: endOf(layout),
    roomBytes: slackBeside(layout, chunk),
  };
  const content = chunk.usedBytes > 0 && largestHole(layout) < WORTHWHILE_BYTES;
  return content && leavesRoom(layout, goal, chunk, step.roomBytes) && isWorthTrying(history, step) ? step : undefined;
}

/** Moves a chunk into the largest hole below it where that joins holes to one that is larger. */
export const slide: Decide = (layout, goal, history) => {
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const place = nextChunk(layout, sizeBytes, 'data');
  if (place === undefined || place.lengthBytes < WORTHWHILE_BYTES) return undefined;
  const last = lastChunk(layout);
  const candidates = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && chunk !== last && chunk.usedBytes > 0)
    .filter((chunk) => (chunk.physicalStarts[0] ?? 0) > place.startBytes && chunk.usedBytes <= place.lengthBytes - MiB)
    .filter((chunk) => leavesRoom(layout, goal, chunk, roomBelow(layout, chunk)))
    .filter((chunk) => joinedHole(layout, chunk, place) >= largestHole(layout) + WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes - b.usedBytes);
  return firstOf(candidates, (chunk) => {
    const step: MovingStep = { kind: 'slide', chunk, sizeBytes, roomBytes: place.lengthBytes };
    return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
  });
};

export const repackSparsest: Decide = (layout, goal, history) => {
  const data = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && repackGain(layout, chunk) >= WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes / repackGain(layout, a) - b.usedBytes / repackGain(layout, b));
  return firstOf(data, (chunk) => repackData(layout, goal, chunk, history));
};

/** Where the last chunk finds no place, the least content goes that makes one. */
export const foldSparsest: Decide = (layout, goal, history) => {
  const data = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && slackOf(chunk) >= WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes - b.usedBytes);
  return firstOf(data, (chunk) => foldData(layout, goal, chunk, history));
};

/** What becomes free when the content gets chunks of the size that the kernel makes now. */
function repackGain(layout: Layout, chunk: UsedChunk): number {
  if (chunk.usedBytes === 0) return 0;
  if (chunk === highestData(layout)) return chunk.lengthBytes - roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
  const wanted = wantedChunkBytes('data', scratchEnd(layout, chunk));
  return chunk.lengthBytes - Math.ceil(chunk.usedBytes / wanted) * wanted;
}

/** The scratch space must come down again, into the place that the chunk leaves: that takes extents which fit there. */
function repackData(layout: Layout, goal: Goal, chunk: UsedChunk, history: History): Step | undefined {
  const end = scratchEnd(layout, chunk);
  const roomBytes =
    layout.capacityBytes - endOf(layout) + slackBeside(layout, chunk) + bytesOf(holesBelow(layout, endOf(layout)));
  if (!leavesRoom(layout, goal, chunk, roomBytes)) return undefined;
  const sizeBytes = Math.min(layout.capacityBytes, end);
  const step: MovingStep = { kind: 'repack', chunk, sizeBytes, roomBytes: sizeBytes - chunk.lengthBytes };
  const lengthBytes = Math.min(chunk.lengthBytes, wantedChunkBytes('data', end));
  const place = { startBytes: chunk.physicalStarts[0] ?? 0, lengthBytes };
  return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
}

function scratchEnd(layout: Layout, chunk: UsedChunk): number {
  return endOf(layout) + roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
}
