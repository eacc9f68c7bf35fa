import {
  allocatedOf,
  chunkEnd,
  endOf,
  type Layout,
  largestHole,
  metadataCopies,
  metadataNeeded,
  nextChunk,
  type UsedChunk,
} from './compact-layout.ts';
import { type Goal, type History, isWorthTrying, leavesRoom, type MovingStep, roundUp } from './compact-step.ts';

const MiB = 1024 * 1024;
const REWRITE = { kind: 'rewrite', unlessWritten: true } as const;

/**
 * Where extents don't fit together: the chunks of a larger filesystem are larger, too, so all data goes into such behind the end, from where it
 * comes down again. Only while nobody writes, who could get space there and keep the filesystem from becoming small again.
 */
export function rewriteNext(layout: Layout, goal: Goal, history: History): MovingStep | undefined {
  if (!history.mayRewrite) return undefined;
  const below = history.rewriteBelow ?? Number.POSITIVE_INFINITY;
  const old = layout.chunks.filter((chunk) => chunk.logicalStart < below).toSorted((a, b) => chunkEnd(a) - chunkEnd(b));
  const metadata = old.filter((chunk) => chunk.kind === 'metadata').map((chunk) => liftMetadata(layout, chunk));
  const roomBytes = layout.capacityBytes - allocatedOf(layout);
  const data = old
    .filter((chunk) => chunk.kind === 'data' && chunk.usedBytes > 0 && leavesRoom(layout, goal, chunk, roomBytes))
    .map((chunk): MovingStep => ({ ...REWRITE, chunk, sizeBytes: layout.capacityBytes, roomBytes }));
  return [...metadata, ...data].find((step) => step !== undefined && isWorthTrying(history, step));
}

/** Metadata in the middle would divide the space that data comes down to. */
function liftMetadata(layout: Layout, chunk: UsedChunk): MovingStep | undefined {
  if (!layout.chunks.some((other) => other.kind === 'data' && chunkEnd(other) < chunkEnd(chunk))) return undefined;
  const end = endOf(layout);
  // The kernel takes the largest hole, so the space behind the end must be larger than any below.
  const atLeast = Math.max(largestHole(layout) + MiB, metadataNeeded(layout) * metadataCopies(layout));
  const sizeBytes = end + roundUp(atLeast);
  const place = nextChunk(layout, sizeBytes, 'metadata');
  if (sizeBytes > layout.capacityBytes || place === undefined || place.startBytes < end) return undefined;
  const fits = place.lengthBytes >= metadataNeeded(layout);
  return fits ? { ...REWRITE, chunk, sizeBytes, roomBytes: place.lengthBytes } : undefined;
}
