import { foldData } from './compact-data.ts';
import {
  allocatedOf,
  endOf,
  highestData,
  type Layout,
  largestHole,
  lastChunk,
  metadataCopies,
  metadataDeficit,
  metadataNeeded,
  metadataRoomBeside,
  nextChunk,
  outlastsWriters,
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
  type Goal,
  type History,
  inspected,
  isWorthTrying,
  leavesRoom,
  type MovingStep,
  roundUp,
  SLIVER_BYTES,
  SMALLEST_HOLE_BYTES,
  WORTHWHILE_BYTES,
} from './compact-step.ts';

/** Data that is written later takes unallocated space in large pieces: metadata gets its share before little of that is left. */
export function settleMetadata(layout: Layout, goal: Goal, history: History): MovingStep | undefined {
  const unallocated = goal.stopAtBytes - allocatedOf(layout);
  const deficit = metadataDeficit(layout);
  if (deficit === 0 || unallocated >= deficit + 3 * wantedChunkBytes('data', goal.stopAtBytes)) return undefined;
  return enlargeMetadata(layout, goal, history);
}

/** A metadata chunk of the right size at the end leaves the holes to the data below it and then takes the place of that. */
export const makeWayForMetadata: Decide = (layout, goal, history) => {
  const last = lastChunk(layout);
  if (last?.kind !== 'metadata' || last.lengthBytes > roundUp(metadataNeeded(layout)) + SMALLEST_HOLE_BYTES)
    return undefined;
  const chunk = highestData(layout);
  const sizeBytes = Math.min(layout.capacityBytes, endOf(layout) + SLIVER_BYTES);
  const place = nextChunk(layout, sizeBytes, 'data');
  if (chunk === undefined || place === undefined || place.startBytes > (chunk.physicalStarts[0] ?? 0)) return undefined;
  if (chunk.usedBytes > largestHole(layout) + slackBeside(layout, chunk) / 2) return undefined;
  if (!leavesRoom(layout, goal, chunk, roomBelow(layout, chunk))) return undefined;
  const step: MovingStep = { kind: 'slide', chunk, sizeBytes, roomBytes: place.lengthBytes };
  return isWorthTrying(history, step) ? inspected(history, chunk, place, step) : undefined;
};

/** Oversized metadata goes to the end, if there is something to be gained when it has come down again from there. */
export const shrinkMetadata: Decide = (layout, goal, history) => {
  const chunk = sparsestMetadata(layout);
  if (chunk === undefined) return undefined;
  const total = totalOf(layout, 'metadata');
  const copies = metadataCopies(layout);
  const scratch = roundUp(metadataNeeded(layout)) * copies;
  const wanted = wantedChunkBytes('metadata', endOf(layout) + scratch);
  const gain = (total - Math.max(metadataNeeded(layout), total - chunk.lengthBytes + wanted)) * copies;
  if (gain >= WORTHWHILE_BYTES) return resettleMetadata(layout, goal, history, total - 1);
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
  const step =
    after <= endOf(layout) - WORTHWHILE_BYTES ? resettleMetadata(layout, goal, history, total - 1) : undefined;
  return step && inspected(history, data, place, step);
};

/** Metadata at the end that finds no hole: the least content goes whose place is large enough. */
export const foldForMetadata: Decide = (layout, goal, history) => {
  if (lastChunk(layout)?.kind === 'data') return undefined;
  const needed = metadataNeeded(layout) * metadataCopies(layout);
  const candidates = layout.chunks
    .filter((chunk) => chunk.kind === 'data' && chunk.usedBytes > largestHole(layout))
    .filter((chunk) => largestHole({ ...layout, chunks: layout.chunks.filter((other) => other !== chunk) }) >= needed)
    .toSorted((a, b) => a.usedBytes - b.usedBytes);
  return firstOf(candidates, (chunk) => foldData(layout, goal, chunk, history));
};

/** Moves the metadata chunk with the most slack so that there is enough metadata space and at most `mostBytes` (one copy). */
function resettleMetadata(layout: Layout, goal: Goal, history: History, mostBytes: number): MovingStep | undefined {
  const end = endOf(layout);
  const sizes = [end, end + roundUp(metadataNeeded(layout)) * metadataCopies(layout)];
  return moveMetadata(layout, goal, sizes, mostBytes, (chunk, sizeBytes, alone) => {
    const step: MovingStep = { kind: 'resettle', chunk, sizeBytes, roomBytes: layout.capacityBytes - end, alone };
    return isWorthTrying(history, step) ? step : undefined;
  });
}

/**
 * The same for metadata that has too little space, which may get as much as it will: nothing that is unallocated may be closed off
 * before, or those who write meanwhile are refused.
 */
export function enlargeMetadata(layout: Layout, goal: Goal, history: History): MovingStep | undefined {
  return moveMetadata(
    layout,
    goal,
    [layout.sizeBytes, layout.capacityBytes],
    Number.POSITIVE_INFINITY,
    (chunk, sizeBytes, alone) => {
      const step: MovingStep = { kind: 'enlarge', chunk, sizeBytes, roomBytes: sizeBytes, alone };
      return isWorthTrying(history, step) ? step : undefined;
    },
  );
}

function moveMetadata(
  layout: Layout,
  goal: Goal,
  sizes: readonly number[],
  mostBytes: number,
  stepOf: (chunk: UsedChunk, sizeBytes: number, alone: boolean) => MovingStep | undefined,
): MovingStep | undefined {
  const chunk = sparsestMetadata(layout);
  if (chunk === undefined) return undefined;
  return firstOf(sizes, (sizeBytes) => {
    const after = metadataRoomBeside(layout, chunk, sizeBytes);
    const fits = sizeBytes <= layout.capacityBytes && after >= metadataNeeded(layout) && after <= mostBytes;
    // What ends beyond the size before must come down again, which writers could prevent.
    const alone = sizeBytes > goal.mostBytes || !outlastsWriters(layout, chunk, sizeBytes);
    return fits ? stepOf(chunk, sizeBytes, alone) : undefined;
  });
}

function sparsestMetadata(layout: Layout): UsedChunk | undefined {
  return layout.chunks.filter(({ kind }) => kind === 'metadata').toSorted((a, b) => slackOf(b) - slackOf(a))[0];
}
