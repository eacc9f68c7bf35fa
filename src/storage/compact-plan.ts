import {
  foldSparsest,
  liftLast,
  liftWhole,
  lowerLast,
  repackSparsest,
  slide,
  squeezeLast,
  tightenFull,
  tightenLast,
} from './compact-data.ts';
import {
  allocatedOf,
  endOf,
  type Layout,
  metadataCopies,
  metadataDeficit,
  metadataNeeded,
  neededBytes,
  totalOf,
  type UsedChunk,
  usedOf,
  wantedChunkBytes,
} from './compact-layout.ts';
import {
  enlargeMetadata,
  foldForMetadata,
  makeWayForMetadata,
  settleMetadata,
  shrinkMetadata,
} from './compact-metadata.ts';
import { rewriteNext } from './compact-rewrite.ts';
import {
  type CompactOutcome,
  type Decide,
  firstOf,
  type Goal,
  type History,
  isWorthTrying,
  type MovingStep,
  SMALLEST_SIZE_BYTES,
  type Step,
  WORTHWHILE_BYTES,
  WRITERS_ROOM_BYTES,
  writersRoom,
} from './compact-step.ts';

const MiB = 1024 * 1024;
/** The rest is not worth its writes. */
const CLOSE_ENOUGH = 1.05;
/** Behind the end there has to be some room for what is to come down again. */
const REWRITING_BYTES = 96 * MiB;
/** More than this times the ideal is worth writing all data twice more. */
const WORTH_REWRITING = 1.1;
/** So many steps in vain before all data is rewritten, or the run gives up afterwards. */
const FEW_MOVES_IN_VAIN = 4;
/** So many before it gives up where nothing is to be rewritten. */
const MOVES_IN_VAIN = 8;
/** What metadata must have left when the filesystem can't be made as small as asked: for some thousand small files. */
const COMFORT_METADATA_BYTES = 16 * MiB;

/** In this order: what brings the end down comes first, so that nothing stays behind in scratch space. */
const DECISIONS: readonly Decide[] = [
  dropEmpty,
  finishWhenSmall,
  ensureMetadataRoom,
  continueRewrite,
  liftRewritten,
  tightenFull,
  squeezeLast,
  makeWayForMetadata,
  tightenLast,
  liftWhole,
  lowerLast,
  liftLast,
  giveUp,
  shrinkMetadata,
  foldForMetadata,
  slide,
  foldSparsest,
  repackSparsest,
  beginRewrite,
];

/**
 * The next step towards the smallest size: drop what is empty, lower the last chunk as long as the space below takes it, and when it doesn't, make space below
 * by moving a sparse chunk to scratch space behind the end, from where it comes down again. Pure. Metadata moves only where there is a
 * place for it: without one the kernel aborts the transaction and turns the filesystem read-only (seen with 6.18).
 */
export function decideStep(layout: Layout, goal: Goal, history: History): Step {
  return firstOf(DECISIONS, (decide) => decide(layout, goal, history)) ?? finish(layout, goal, 'as-small-as-it-gets');
}

function finish(layout: Layout, goal: Goal, outcome: CompactOutcome): Step & { kind: 'finish' } {
  return { kind: 'finish', sizeBytes: comfortableSize(layout, goal), outcome };
}

function dropEmpty(layout: Layout, _goal: Goal, history: History): Step | undefined {
  const spareMetadata = totalOf(layout, 'metadata') - metadataNeeded(layout);
  const dataChunks = layout.chunks.filter((chunk) => chunk.kind === 'data').length;
  const spare = (chunk: UsedChunk) =>
    (chunk.kind === 'data' && dataChunks > 1) || (chunk.kind === 'metadata' && chunk.lengthBytes <= spareMetadata);
  return layout.chunks
    .filter((chunk) => chunk.usedBytes === 0 && spare(chunk))
    .map((chunk): MovingStep => ({ kind: 'drop', chunk, sizeBytes: layout.sizeBytes, roomBytes: 0 }))
    .find((step) => isWorthTrying(history, step));
}

function finishWhenSmall(layout: Layout, goal: Goal, history: History): Step | undefined {
  const end = endOf(layout);
  if (end <= goal.stopAtBytes && dataRoom(layout, goal.stopAtBytes) >= writersRoom(layout, goal)) {
    return settleMetadata(layout, goal, history) ?? { kind: 'finish', sizeBytes: goal.stopAtBytes, outcome: 'reached' };
  }
  if (goal.exact && neededBytes(layout) <= goal.stopAtBytes) return undefined;
  const ideal = Math.max(neededBytes(layout), goal.stopAtBytes);
  if (ideal === SMALLEST_SIZE_BYTES || comfortableSize(layout, goal) > ideal * CLOSE_ENOUGH) return undefined;
  return finish(layout, goal, 'near-enough');
}

/** Moving data writes metadata: there must be some to write to before anything is moved. */
function ensureMetadataRoom(layout: Layout, goal: Goal, history: History): Step | undefined {
  if (metadataDeficit(layout) === 0) return undefined;
  const step = enlargeMetadata(layout, goal, history);
  if (step !== undefined) return step;
  const { sizeBytes, ...finished } = finish(layout, goal, 'as-small-as-it-gets');
  // Those who write need unallocated space then.
  return { ...finished, sizeBytes: history.heldUp ? Math.max(sizeBytes, goal.mostBytes) : sizeBytes };
}

function giveUp(layout: Layout, goal: Goal, history: History): Step | undefined {
  if (history.budgetSpent) return finish(layout, goal, 'budget-spent');
  if (history.movesInVain < FEW_MOVES_IN_VAIN) return undefined;
  const rewrite = beginRewrite(layout, goal, history);
  const most = history.rewriteBelow === undefined ? MOVES_IN_VAIN : FEW_MOVES_IN_VAIN;
  return rewrite ?? (history.movesInVain < most ? undefined : finish(layout, goal, 'as-small-as-it-gets'));
}

/** Once in a run, and only where it promises to gain something and nothing can stay behind up there. */
function beginRewrite(layout: Layout, goal: Goal, history: History): Step | undefined {
  if (history.rewriteBelow !== undefined || layout.capacityBytes - endOf(layout) < REWRITING_BYTES) return undefined;
  const comfortBytes = COMFORT_METADATA_BYTES * metadataCopies(layout) + WRITERS_ROOM_BYTES;
  const ideal = Math.max(neededBytes(layout) + comfortBytes, goal.stopAtBytes);
  const worthwhile = goal.exact
    ? neededBytes(layout) <= goal.stopAtBytes
    : comfortableSize(layout, goal) > ideal * WORTH_REWRITING;
  const step = worthwhile ? rewriteNext(layout, goal, history) : undefined;
  if (step === undefined) return undefined;
  const chunks = layout.chunks.filter((chunk) => chunk.kind === 'data' && chunk.usedBytes > 0);
  const chunk = chunks.find(({ logicalStart }) => !history.longestExtents.has(logicalStart));
  if (chunk !== undefined) return { kind: 'inspect', chunk };
  const lengths = chunks.map(({ logicalStart }) => history.longestExtents.get(logicalStart) ?? 0);
  return comesDownAgain(layout, ideal, lengths) ? step : undefined;
}

/**
 * Extents no longer than the chunks of the filesystem that is aimed at always do; longer ones if each chunk comes down as a whole, into one that is made
 * while the filesystem is about twice as large. A length of 0 is unknown.
 */
function comesDownAgain(layout: Layout, idealBytes: number, extents: readonly number[]): boolean {
  if (extents.includes(0)) return false;
  const longest = Math.max(...extents);
  const chunkOnTheWay = wantedChunkBytes('data', 2 * idealBytes);
  const wholeChunks = wantedChunkBytes('data', layout.capacityBytes) <= chunkOnTheWay + WORTHWHILE_BYTES;
  return longest <= wantedChunkBytes('data', idealBytes) || (wholeChunks && longest <= chunkOnTheWay);
}

/** As far down as possible while the filesystem is large, and its chunks with it. */
function liftRewritten(layout: Layout, goal: Goal, history: History): Step | undefined {
  return history.rewriteBelow === undefined
    ? undefined
    : (liftWhole(layout, goal, history) ?? liftLast(layout, goal, history));
}

function continueRewrite(layout: Layout, goal: Goal, history: History): Step | undefined {
  return history.rewriteBelow === undefined || history.budgetSpent ? undefined : rewriteNext(layout, goal, history);
}

/** What data finds in a filesystem of this size after metadata took what it lacks: free space in metadata chunks is of no use to it. */
function dataRoom(layout: Layout, sizeBytes: number): number {
  const slack = totalOf(layout, 'data') - usedOf(layout, 'data');
  return slack + sizeBytes - allocatedOf(layout) - metadataDeficit(layout);
}

/** The smallest size that nothing has to move for and that leaves a volume in which files can be created. */
function comfortableSize(layout: Layout, goal: Goal): number {
  const end = endOf(layout);
  const holes = end - allocatedOf(layout);
  const metadata = metadataNeeded(layout) + COMFORT_METADATA_BYTES - totalOf(layout, 'metadata');
  const data = WRITERS_ROOM_BYTES + usedOf(layout, 'data') - totalOf(layout, 'data');
  const lacking = Math.max(0, metadata) * metadataCopies(layout) + Math.max(0, data);
  const sizeBytes = Math.max(goal.stopAtBytes, SMALLEST_SIZE_BYTES, end + Math.max(0, Math.ceil(lacking - holes)));
  return Math.max(end, Math.min(goal.mostBytes, sizeBytes));
}
