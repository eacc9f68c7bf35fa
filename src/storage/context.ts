import type { Command, CommandResult, Run } from '../host/command.ts';
import { CommandError } from '../host/command.ts';
import { lockFile } from '../host/flock.ts';
import { type LoopDevice, listLoopDevices } from '../host/losetup.ts';
import { createRun } from '../host/run.ts';
import { StorageError } from './errors.ts';
import { type Layout, layoutOf } from './layout.ts';
import { isErrno } from './records.ts';

export interface StorageOptions {
  readonly rootPath: string;
  readonly commandPath: string;
  /** Logical sector size of new loop devices in bytes; best effort. */
  readonly sectorSize: number;
  /** Whether loop devices bypass the node's page cache; best effort. */
  readonly directIO: boolean;
  readonly onCommand?: (command: Command, outcome: CommandResult | CommandError) => void;
}

/** One root directory on this node, and the means to work on it. */
export interface Storage {
  readonly layout: Layout;
  readonly options: StorageOptions;
  readonly run: Run;
  /** All loop devices in use, listed after the call: calls that come while a listing waits share it. */
  readonly loopDevices: () => Promise<readonly LoopDevice[]>;
  /** Runs `work` alone among all work on this volume, with commands that hold the lock of its image. */
  readonly withVolume: <T>(uid: string, signal: AbortSignal | undefined, work: VolumeWork<T>) => Promise<T>;
  /** Mount options that this kernel refused, by volume: not asked for again while this process lives. */
  readonly refusedOptions: Map<string, readonly string[]>;
}

/** `uninterrupted` doesn't heed the signal: it is for taking back what was begun. */
export type VolumeWork<T> = (run: Run, uninterrupted: Run) => Promise<T>;

export function createStorage(options: StorageOptions): Storage {
  const layout = layoutOf(options.rootPath);
  const run = createRun(options);
  const queues = new Map<string, Promise<unknown>>();
  return {
    layout,
    options,
    run,
    loopDevices: shared(() => listLoopDevices(run)),
    refusedOptions: new Map(),
    async withVolume(uid, signal, work) {
      const before = queues.get(uid);
      const turn = (async () => {
        await before?.catch(() => undefined);
        return await withImageLock(layout.imagePath(uid), options, signal, work);
      })();
      queues.set(uid, turn);
      try {
        return await turn;
      } finally {
        if (queues.get(uid) === turn) queues.delete(uid);
      }
    },
  };
}

/**
 * Holds the flock of the image while `work` runs; its commands inherit it, so that one that outlives this process, or its
 * own deadline, keeps everybody else away from the volume. Without an image there is nothing to fence.
 */
async function withImageLock<T>(
  imagePath: string,
  options: StorageOptions,
  signal: AbortSignal | undefined,
  work: VolumeWork<T>,
): Promise<T> {
  const lock = await lockFile(imagePath, 'r', options).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return 'no image' as const;
    throw error;
  });
  if (lock === undefined) {
    throw new StorageError(
      'in-use',
      'a command of an earlier run still works on the image; this goes on by itself when it has ended',
      { reason: 'CommandStuck' },
    );
  }
  if (lock === 'no image') return await work(createRun({ ...options, signal }), createRun(options));
  try {
    const fenced = { ...options, fenceFd: lock.fd };
    return await work(createRun({ ...fenced, signal }), createRun(fenced));
  } finally {
    await lock.close();
  }
}

/** Calls share a run that has not begun when they come: what they get was read after they asked. */
function shared<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<T> | undefined;
  return () => {
    waiting ??= (async () => {
      await running.catch(() => undefined);
      waiting = undefined;
      const result = read();
      running = result;
      return await result;
    })();
    return waiting;
  };
}

/** Gives what a tool or the node's filesystem refused a storage code, and says what could not be done. */
export async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StorageError) throw error;
    if (error instanceof CommandError) throw fromCommand(what, error);
    if (isErrno(error, 'ENOSPC', 'EDQUOT')) {
      throw new StorageError('out-of-space', `could not ${what}: the node's file system is full; free space on it`, {
        cause: error,
        reason: 'HostPressure',
      });
    }
    if (isErrno(error, 'EFBIG')) {
      throw new StorageError(
        'unsupported',
        `could not ${what}: the node's file system holds no file of this size; use a smaller spec.size`,
        { cause: error, reason: 'UnsupportedHost' },
      );
    }
    if (error instanceof Error && 'syscall' in error) {
      throw new StorageError('failed', `could not ${what}: ${error.message}`, {
        cause: error,
        reason: 'CommandFailed',
      });
    }
    throw error;
  }
}

function fromCommand(what: string, error: CommandError): StorageError {
  const { timedOut, aborted, stillRunning, stderrTail } = error.failure;
  const message = `could not ${what}: ${error.message}`;
  if (stillRunning || timedOut) {
    return new StorageError('timeout', message, { cause: error, reason: 'CommandStuck' });
  }
  if (aborted) return new StorageError('aborted', message, { cause: error });
  const outOfSpace = /No space left on device/.test(stderrTail);
  return new StorageError(outOfSpace ? 'out-of-space' : 'failed', message, { cause: error, reason: 'CommandFailed' });
}
