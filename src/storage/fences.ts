import type { FileHandle } from 'node:fs/promises';
import type { DeviceActivity } from '../host/block-device.ts';
import { CommandError, type CommandResult, type Run } from '../host/command.ts';
import { lockFile } from '../host/flock.ts';
import { isUninterruptible } from '../host/process-state.ts';
import { createRun, type RunOptions } from '../host/run.ts';
import { StorageError } from './errors.ts';
import type { Layout } from './layout.ts';
import { isErrno } from './records.ts';

/** How many commands run in one volume at once: when it hangs, so many processes wait in it and no more. */
const PLACES = 4;
/** A device that completes nothing for so long, while something waits for it, hangs. */
const HANGS_AFTER_MS = 6_000;

/**
 * Who works in which volume. All commands in a volume, on its image or in its tree, carry its fence: the flock of the image, which
 * lasts until the last of them has ended. A volume in which commands hang takes no more of them.
 */
export interface Fences {
  /** Runs `work` with the fence up. Throws CommandStuck while a command that was given up, or one of an earlier agent, still runs. */
  readonly within: <T>(uid: string, work: () => Promise<T>) => Promise<T>;
  /** Runs commands in the volume. */
  readonly run: (uid: string, signal?: AbortSignal) => Run;
  /** What the tree of the volume runs its commands with: transfers are started while the fence is up, and take none of the few places. */
  readonly in: (uid: string, signal?: AbortSignal) => { readonly run: Run; readonly transferOptions: () => RunOptions };
  /** Takes in what the device of a volume did until now. */
  readonly look: (uid: string, activity: DeviceActivity | undefined) => Promise<Look>;
  /** Commands hang in the volume. */
  readonly isStuck: (uid: string) => boolean;
}

export interface Look {
  /** Something waits for the device, or works in the volume. */
  readonly waits: boolean;
  /** The device did something since the look before. */
  readonly moved: boolean;
}

interface Running {
  readonly pid: number;
  readonly startedAtMs: number;
}

interface Fence {
  users: number;
  lock: Promise<FileHandle | undefined> | undefined;
  closing: Promise<void> | undefined;
  fd: number | undefined;
  /** Commands that were given up and have not ended. */
  left: number;
  hangs: AbortController;
  places: number;
  readonly line: (() => void)[];
  readonly running: Set<Running>;
  completed: number | undefined;
  movedAtMs: number;
  waitsSinceMs: number | undefined;
}

const newFence = (nowMs: number): Fence => ({
  users: 0,
  lock: undefined,
  closing: undefined,
  fd: undefined,
  left: 0,
  hangs: new AbortController(),
  places: PLACES,
  line: [],
  running: new Set(),
  completed: undefined,
  movedAtMs: nowMs,
  waitsSinceMs: undefined,
});

export function createFences(layout: Layout, options: RunOptions, now = () => performance.now()): Fences {
  const fences = new Map<string, Fence>();
  const fenceOf = (uid: string): Fence => {
    const fence = fences.get(uid) ?? newFence(now());
    fences.set(uid, fence);
    return fence;
  };
  const optionsOf = (fence: Fence): RunOptions => ({
    ...options,
    fenceFd: fence.fd,
    giveUp: fence.hangs.signal,
    onLeft(ended) {
      fence.left++;
      void ended.finally(() => fence.left--);
    },
  });
  const within = async <T>(uid: string, work: () => Promise<T>): Promise<T> => {
    const fence = fenceOf(uid);
    if (isStuck(fence)) throw stuckVolume();
    fence.users++;
    try {
      await putUp(fence, layout.imagePath(uid), options);
      return await work();
    } finally {
      fence.users--;
      if (fence.users === 0) await takeAway(fence);
      if (fence.users === 0 && !isStuck(fence) && fence.completed === undefined) fences.delete(uid);
    }
  };
  const runIn =
    (uid: string, signal?: AbortSignal): Run =>
    async (command) =>
      await within(uid, async () => {
        const fence = fenceOf(uid);
        // What is fed by somebody else may take as long as that does.
        if (command.input !== undefined) return await createRun({ ...optionsOf(fence), signal })(command);
        return await inPlace(fence, async () => {
          let running: Running | undefined;
          const onStart = (pid: number) => {
            command.onStart?.(pid);
            running = { pid, startedAtMs: now() };
            fence.running.add(running);
          };
          try {
            return await createRun({ ...optionsOf(fence), signal })({ ...command, onStart });
          } finally {
            if (running !== undefined) fence.running.delete(running);
          }
        });
      });
  return {
    within,
    run: runIn,
    in: (uid, signal) => ({ run: runIn(uid, signal), transferOptions: () => optionsOf(fenceOf(uid)) }),
    isStuck: (uid) => fences.has(uid) && isStuck(fenceOf(uid)),
    async look(uid, activity) {
      const fence = fenceOf(uid);
      const lookedAtMs = now();
      const waitsLong = await waitsLongFor(fence, activity, lookedAtMs);
      if (waitsLong) {
        fence.hangs.abort();
        for (const leave of fence.line.splice(0)) leave();
      }
      if (!waitsLong && fence.hangs.signal.aborted) fence.hangs = new AbortController();
      const waits = fence.waitsSinceMs !== undefined || fence.running.size > 0 || fence.left > 0;
      return { waits, moved: fence.movedAtMs === lookedAtMs };
    },
  };
}

function isStuck({ left, hangs }: Fence): boolean {
  return left > 0 || hangs.signal.aborted;
}

/** The lock of the image is held, by one open file for all that work in the volume; without an image there is nothing to fence. */
async function putUp(fence: Fence, imagePath: string, options: RunOptions): Promise<void> {
  fence.lock ??= (async () => {
    await fence.closing;
    return await lockImage(imagePath, options);
  })();
  try {
    const file = await fence.lock;
    fence.fd = file?.fd;
    if (file === undefined) fence.lock = undefined;
  } catch (error) {
    fence.lock = undefined;
    throw error;
  }
}

async function takeAway(fence: Fence): Promise<void> {
  const { lock } = fence;
  fence.lock = undefined;
  fence.fd = undefined;
  fence.closing = lock?.then(
    async (file) => await file?.close(),
    () => undefined,
  );
  await fence.closing;
}

async function lockImage(imagePath: string, options: RunOptions): Promise<FileHandle | undefined> {
  try {
    const lock = await lockFile(imagePath, 'r', options);
    if (lock !== undefined) return lock;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
  throw new StorageError(
    'in-use',
    'a command of an earlier run still works on the image; this goes on by itself when it has ended',
    { reason: 'CommandStuck' },
  );
}

async function inPlace(fence: Fence, work: () => Promise<CommandResult>): Promise<CommandResult> {
  while (fence.places === 0) {
    await new Promise<void>((resolve) => void fence.line.push(resolve));
    if (isStuck(fence)) throw stuckVolume();
  }
  fence.places--;
  try {
    return await work();
  } catch (error) {
    // It was given up because of the device: the message is the same whichever command it was.
    if (error instanceof CommandError && error.failure.aborted && fence.hangs.signal.aborted) throw stuckVolume();
    throw error;
  } finally {
    fence.places++;
    fence.line.shift()?.();
  }
}

/** True when the device completed nothing for long, while requests wait for it or a command of ours can't go on. */
async function waitsLongFor(fence: Fence, activity: DeviceActivity | undefined, nowMs: number): Promise<boolean> {
  const hasMoved = activity?.completed !== fence.completed;
  if (hasMoved) fence.movedAtMs = nowMs;
  fence.completed = activity?.completed;
  if (hasMoved || activity === undefined || activity.inFlight === 0) fence.waitsSinceMs = undefined;
  else fence.waitsSinceMs ??= nowMs;
  if (fence.waitsSinceMs !== undefined && nowMs - fence.waitsSinceMs >= HANGS_AFTER_MS) return true;
  if (activity === undefined || nowMs - fence.movedAtMs < HANGS_AFTER_MS) return false;
  for (const { pid, startedAtMs } of fence.running) {
    if (nowMs - startedAtMs >= HANGS_AFTER_MS && (await isUninterruptible(pid))) return true;
  }
  return false;
}

/** Commands hang in a volume: the same words whichever command it was. */
export function stuckVolume(reason: 'CommandStuck' | 'VolumeNotReady' = 'CommandStuck'): StorageError {
  return new StorageError(
    'timeout',
    'commands hang in the volume, because its device does not answer or its file system is frozen; see the kernel log of the node. This goes on by itself when they have ended',
    { reason },
  );
}
