import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../kube/object.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { StorageError, type StorageErrorCode } from '../storage/errors.ts';

/** What the end of a try depends on, as it is now. */
export interface Circumstances {
  /** What is tried: {@link wordsIn} the object, size and source. */
  readonly given: unknown;
  /** Matters to what did not fit; `stepBytes` more make another try worth its work. */
  readonly room?: { readonly freeBytes: number; readonly stepBytes: number } | undefined;
  /** What is there that an increment can build on; matters to one that had no parent. */
  readonly parents?: readonly string[];
}

export type Look = () => Promise<Circumstances>;

/**
 * Remembers what was tried at a cost, by uid, and refused: it is tried again when something changed that it depended on, else after a
 * pause that grows. The same for all that is received, downloaded or imported. A restart forgets it, for one more try each.
 */
export interface VainTries {
  /** Why it is not tried now; undefined: it may be. Looks only at what is remembered, so it costs nothing for all else. */
  refusal(uid: string, look: Look): Promise<StorageError | undefined>;
  /** Runs `work`, remembers what it is refused with, and throws that. */
  run<T>(uid: string, look: Look, work: () => Promise<T>): Promise<T>;
  forget(uid: string): void;
}

interface Vain {
  readonly error: StorageError;
  readonly before: Circumstances;
  readonly untilMs: number;
}

const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 60 * 60_000;

/** The room on the node is asked for before the first byte, and what is broken off for want of it knows how much it needs. */
const CHEAP_REASON = 'HostPressure';
const LASTING: readonly StorageErrorCode[] = [
  'refused',
  'damaged',
  'unsupported',
  'conflict',
  'foreign',
  'out-of-space',
];

export function createVainTries(clock: Pick<Clock, 'monotonicMs'>): VainTries {
  const pauses = createBackoff({ baseMs: FIRST_PAUSE_MS, maxMs: LONGEST_PAUSE_MS });
  const vain = new Map<string, Vain>();
  const forget = (uid: string) => {
    vain.delete(uid);
    pauses.reset(uid);
  };
  return {
    forget,
    async refusal(uid, look) {
      const known = vain.get(uid);
      if (known === undefined) return undefined;
      if (isChanged(known, await look())) forget(uid);
      else if (clock.monotonicMs() < known.untilMs) return known.error;
      return undefined;
    },
    async run(uid, look, work) {
      // Looked at before: what goes when the try is taken back is no room that was made since.
      const now = await look();
      try {
        const result = await work();
        forget(uid);
        return result;
      } catch (error) {
        if (isLasting(error)) {
          const before = withRoomOf(now, vain.get(uid)?.before);
          vain.set(uid, { error, before, untilMs: clock.monotonicMs() + pauses.next(uid) });
        }
        throw error;
      }
    },
  };
}

/** What a person says in an object itself: a change of spec, and of labels or annotations, which means "now". */
export function wordsIn({ metadata: { generation, labels, annotations } }: KubeObject): unknown {
  return { generation, labels, annotations };
}

function isLasting(error: unknown): error is StorageError {
  if (!(error instanceof StorageError) || error.reason === CHEAP_REASON) return false;
  return LASTING.includes(error.code) || error.reason === 'ParentMissing';
}

function isChanged({ error, before }: Vain, now: Circumstances): boolean {
  if (!isDeepStrictEqual(before.given, now.given)) return true;
  if (error.reason === 'ParentMissing') return !isDeepStrictEqual(before.parents, now.parents);
  if (error.code !== 'out-of-space' || before.room === undefined || now.room === undefined) return false;
  return now.room.freeBytes >= before.room.freeBytes + now.room.stepBytes;
}

/** An earlier try may still be being removed while the next one begins. */
function withRoomOf(now: Circumstances, before: Circumstances | undefined): Circumstances {
  if (now.room === undefined || before?.room === undefined) return now;
  return { ...now, room: { ...now.room, freeBytes: Math.max(now.room.freeBytes, before.room.freeBytes) } };
}
