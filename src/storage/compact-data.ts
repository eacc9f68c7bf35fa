import {
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
  roomBelow,
  slackBeside,
  slackOf,
  totalOf,
  type UsedChunk,
  wantedChunkBytes,
} from './compact-layout.ts';
import {
  type Decide,
  firstOf,
  type History,
  inspected,
  isWorthTrying,
  type MovingStep,
  roundUp,
  SLIVER_BYTES,
  SMALLEST_HOLE_BYTES,
  SMALLEST_SIZE_BYTES,
  type Step,
  WORTHWHILE_BYTES,
} from './compact-step.ts';

const MiB = 1024 * 1024;

/** A full chunk gains nothing by a squeeze that gets it a larger one. */
export const tightenFull: Decide = (layout, goal, history) => {
  const chunk = lastChunk(layout);
  return chunk?.kind === 'data' && slackOf(chunk) < WORTHWHILE_BYTES ? tightenLast(layout, goal, history) : undefined;
};

export const squeezeLast: Decide = (layout, _goal, history) => {
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
export const tightenLast: Decide = (layout, _goal, history) => {
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

export const lowerLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk === undefined || chunk.kind === 'system') return undefined;
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const roomBytes = chunk.kind === 'metadata' ? metadataRoomBeside(layout, chunk, sizeBytes) : roomBelow(layout, chunk);
  const needed = chunk.kind === 'metadata' ? metadataNeeded(layout) : chunk.usedBytes;
  const step: MovingStep = { kind: 'lower', chunk, sizeBytes, roomBytes: largestHole(layout) };
  return roomBytes >= needed && largestHole(layout) >= SMALLEST_HOLE_BYTES && isWorthTrying(history, step)
    ? step
    : undefined;
};

export const liftLast: Decide = (layout, _goal, history) => {
  const chunk = lastChunk(layout);
  if (chunk?.kind !== 'data') return undefined;
  const end = endOf(layout);
  const hole = largestHole(layout);
  // The kernel takes the largest hole, so the space behind the end must stay smaller than the one below.
  const sizeBytes = Math.min(layout.capacityBytes, end + hole - MiB);
  const gain = Math.min(hole, wantedChunkBytes('data', sizeBytes)) - wantedChunkBytes('data', end);
  const roomBytes = roomBelow(layout, chunk);
  if (hole < WORTHWHILE_BYTES || gain <= 0 || roomBytes < chunk.usedBytes) return undefined;
  const step: MovingStep = { kind: 'lift', chunk, sizeBytes, roomBytes: hole };
  return isWorthTrying(history, step) ? step : undefined;
};

/** Without any space behind the end, so that the content goes into other chunks and not into a new one. */
export function foldData(layout: Layout, chunk: UsedChunk, history: History): MovingStep | undefined {
  const step: MovingStep = {
    kind: 'fold',
    chunk,
    sizeBytes: endOf(layout),
    roomBytes: slackBeside(layout, chunk),
  };
  const content = chunk.usedBytes > 0 && largestHole(layout) < WORTHWHILE_BYTES;
  return content && step.roomBytes >= chunk.usedBytes && isWorthTrying(history, step) ? step : undefined;
}

/** Moves a chunk into the largest hole below it where that joins holes to one that is larger. */
export const slide: Decide = (layout, _goal, history) => {
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
    const step: MovingStep = { kind: 'slide', chunk, sizeBytes, roomBytes: place.lengthBytes };
    return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
  });
};

export const repackSparsest: Decide = (layout, _goal, history) => {
  const data = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && repackGain(layout, chunk) >= WORTHWHILE_BYTES)
    .toSorted((a, b) => a.usedBytes / repackGain(layout, a) - b.usedBytes / repackGain(layout, b));
  return firstOf(data, (chunk) => foldData(layout, chunk, history) ?? repackData(layout, chunk, history));
};

/** What becomes free when the content gets chunks of the size that the kernel makes now. */
function repackGain(layout: Layout, chunk: UsedChunk): number {
  if (chunk.usedBytes === 0) return 0;
  if (chunk === highestData(layout)) return chunk.lengthBytes - roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
  const wanted = wantedChunkBytes('data', scratchEnd(layout, chunk));
  return chunk.lengthBytes - Math.ceil(chunk.usedBytes / wanted) * wanted;
}

/** The scratch space must come down again, into the place that the chunk leaves: that takes extents which fit there. */
function repackData(layout: Layout, chunk: UsedChunk, history: History): Step | undefined {
  const end = scratchEnd(layout, chunk);
  if (layout.capacityBytes - endOf(layout) + roomBelow(layout, chunk) < chunk.usedBytes) return undefined;
  const sizeBytes = Math.min(layout.capacityBytes, end);
  const step: MovingStep = { kind: 'repack', chunk, sizeBytes, roomBytes: sizeBytes - chunk.lengthBytes };
  const lengthBytes = Math.min(chunk.lengthBytes, wantedChunkBytes('data', end));
  const place = { startBytes: chunk.physicalStarts[0] ?? 0, lengthBytes };
  return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
}

function scratchEnd(layout: Layout, chunk: UsedChunk): number {
  return endOf(layout) + roundUp(chunk.usedBytes + SMALLEST_HOLE_BYTES);
}
