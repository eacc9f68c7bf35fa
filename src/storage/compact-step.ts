import { type Hole, type Layout, longestFree, neededBytes, type UsedChunk } from './compact-layout.ts';

const MiB = 1024 * 1024;
/** Less than this is not worth moving a chunk for. */
export const WORTHWHILE_BYTES = 16 * MiB;
/** Growing by any amount makes the kernel look for unallocated space again after it once found none (`btrfs_clear_space_info_full`). */
export const SLIVER_BYTES = 64 * 1024;
/** The kernel refuses to shrink a filesystem below this (`btrfs_ioctl_resize`). */
export const SMALLEST_SIZE_BYTES = 256 * MiB;
/** A chunk smaller than this helps nobody. */
export const SMALLEST_HOLE_BYTES = 4 * MiB;

/** Some large files, or some seconds of writing. */
export const WRITERS_ROOM_BYTES = 48 * MiB;

/** One thing to do. Each is a command of btrfs that is atomic in itself, or a read. */
export type Step =
  | MovingStep
  /** Nothing moves before the length of the chunk's longest extent is known. */
  | { readonly kind: 'inspect'; readonly chunk: UsedChunk }
  | { readonly kind: 'finish'; readonly sizeBytes: number; readonly outcome: CompactOutcome };

/** `near-enough`: the rest is not worth its writes; `held-up`: it could be smaller if nobody had written meanwhile. */
export type CompactOutcome = 'reached' | 'near-enough' | 'as-small-as-it-gets' | 'budget-spent' | 'held-up';

/**
 * A step that writes. The filesystem gets `sizeBytes` for it, or by it. `roomBytes` is what the content finds where it is
 * meant to go: a step that failed is tried again only with more of it.
 */
export interface MovingStep {
  readonly kind: MovingKind;
  readonly chunk: UsedChunk;
  readonly sizeBytes: number;
  readonly roomBytes: number;
  /**
   * Only while nobody seems to write. Else data could get the place that the only metadata chunk is to move to, and the kernel aborts the
   * transaction: the filesystem turns read-only (seen with 6.18, by resize and by balance).
   */
  readonly alone?: boolean;
  /** Left out while somebody seems to write, who would find hardly any room meanwhile. */
  readonly unlessWritten?: boolean;
}

/**
 * - `drop`: an empty chunk goes.
 * - `squeeze`: the last chunk is emptied by a resize to where it starts. The kernel counts it as allocated meanwhile and so makes hardly any new chunk: the
 *   content goes into what is free in others, also of another size class, which it else avoids.
 * - `tighten`: likewise, into a new chunk that the end of the filesystem keeps small.
 * - `lower`: a balance moves the last chunk into holes below it; `lift`: the same while the filesystem is larger, for extents longer than
 *   the chunks of a small one.
 * - `fold`: into what is free in other chunks; `slide`: into a hole, so that metadata gets the place; `repack`: to scratch space behind the end.
 * - `rewrite`: into the largest chunks that the device allows, one after the other until all data is in such.
 * - `resettle`: metadata goes into a chunk of the right size; `enlarge`: into one with room for what is about to be written.
 */
type MovingKind =
  | 'drop'
  | 'squeeze'
  | 'tighten'
  | 'lower'
  | 'lift'
  | 'fold'
  | 'slide'
  | 'repack'
  | 'rewrite'
  | 'resettle'
  | 'enlarge';

/** What earlier steps of this run taught. Keys name a chunk and a way to move it. */
export interface History {
  /** Steps that found no place, with the free space there was for them then. */
  readonly failed: ReadonlyMap<string, number>;
  /** Steps since the end was last lower than ever before that did not bring it down themselves. */
  readonly movesInVain: number;
  /** Longest extent by logical start of the chunk, where one was asked for; 0 when there are too many to know. */
  readonly longestExtents: ReadonlyMap<number, number>;
  /** More was written than the run may write: it takes in what it has out in scratch space and ends. */
  readonly budgetSpent: boolean;
  /** Logical end of what there was when all data began to be rewritten. */
  readonly rewriteBelow: number | undefined;
  /** False once somebody wrote when something was to be rewritten. */
  readonly mayRewrite: boolean;
  /** A step was put off, or found its place taken, because files are written. */
  readonly heldUp: boolean;
}

export interface Goal {
  /** The filesystem need not get smaller than this. */
  readonly stopAtBytes: number;
  /** It must not end larger than this unless its chunks reach further: its size before. */
  readonly mostBytes: number;
  /** `stopAtBytes` has to be reached if the content fits into it: near is not enough. */
  readonly exact: boolean;
}

/** A decision that has nothing to say leaves it to the next one. */
export type Decide = (layout: Layout, goal: Goal, history: History) => Step | undefined;

export function stepKey({ kind, chunk }: MovingStep): string {
  // Metadata gets a new place each time and would be moved to and fro.
  return kind === 'resettle' ? kind : `${kind} ${chunk.logicalStart}`;
}

/** False for what found no place before, or was not alone, unless there is more room now. */
export function isWorthTrying(history: History, step: MovingStep): boolean {
  const failedWith = history.failed.get(stepKey(step));
  return failedWith === undefined || step.roomBytes >= failedWith + WORTHWHILE_BYTES;
}

/** The step, if the chunk's extents fit into an empty chunk at `place`. */
export function inspected(history: History, chunk: UsedChunk, place: Hole, step: MovingStep): Step | undefined {
  const longest = history.longestExtents.get(chunk.logicalStart);
  if (longest === undefined) return { kind: 'inspect', chunk };
  return longest <= longestFree(place.startBytes, place.lengthBytes) ? step : undefined;
}

/**
 * What those who write meanwhile find free: a fit for the content alone would be a full filesystem to them. Less only when the
 * size that is asked for has not that much to spare.
 */
export function writersRoom(layout: Layout, goal: Goal): number {
  return Math.max(0, Math.min(WRITERS_ROOM_BYTES, goal.stopAtBytes - neededBytes(layout)));
}

/** True if the content of a data chunk, and what is written meanwhile, fits into `roomBytes`. */
export function leavesRoom(layout: Layout, goal: Goal, chunk: UsedChunk, roomBytes: number): boolean {
  return roomBytes >= chunk.usedBytes + writersRoom(layout, goal);
}

export function roundUp(bytes: number): number {
  return Math.ceil(bytes / WORTHWHILE_BYTES) * WORTHWHILE_BYTES;
}

export function firstOf<T, R>(items: readonly T[], pick: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const picked = pick(item);
    if (picked !== undefined) return picked;
  }
  return undefined;
}
