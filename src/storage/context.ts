import type { Command, CommandResult, Run } from '../host/command.ts';
import { CommandError } from '../host/command.ts';
import { askLoopDevices, candidates, type LoopDevice, type LoopSearch, readBackingFiles } from '../host/losetup.ts';
import type { Mount } from '../host/mountinfo.ts';
import { createRun } from '../host/run.ts';
import { coalesced } from './coalesce.ts';
import { StorageError } from './errors.ts';
import { createFences, type Fences, stuckVolume } from './fences.ts';
import { type Layout, layoutOf } from './layout.ts';
import { isErrno } from './records.ts';
import { createTree, type Tree, type TreePlaces } from './tree.ts';
import { createTreeGate } from './tree-gate.ts';
import { proveTreeMount } from './tree-mount.ts';

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
  /** Who works in which volume, and in which of them commands hang. */
  readonly fences: Fences;
  /** Loop devices that may be the ones looked for, as they are after the call; no other is opened. */
  readonly loopDevices: (search: LoopSearch) => Promise<readonly LoopDevice[]>;
  /** Runs `work` alone among all work on this volume, with commands that carry its fence. */
  readonly withVolume: <T>(uid: string, signal: AbortSignal | undefined, work: VolumeWork<T>) => Promise<T>;
  /** Runs `work` on the mounted tree of a volume, beside other such work. Throws `not-ready` if it is not mounted and writable. */
  readonly withTree: <T>(uid: string, work: (tree: Tree) => Promise<T>) => Promise<T>;
  /** Runs `work`, which may unmount the tree, while nobody is in it. The caller has the volume by {@link Storage.withVolume}. */
  readonly withoutTree: <T>(uid: string, work: () => Promise<T>) => Promise<T>;
  /** Mount options that this kernel refused, by volume: not asked for again while this process lives. */
  readonly refusedOptions: Map<string, readonly string[]>;
}

/** `uninterrupted` doesn't heed the signal: it is for taking back what was begun. */
export type VolumeWork<T> = (run: Run, uninterrupted: Run) => Promise<T>;

export function createStorage(options: StorageOptions): Storage {
  const layout = layoutOf(options.rootPath);
  const run = createRun(options);
  const fences = createFences(layout, options);
  const queues = new Map<string, Promise<unknown>>();
  const gate = createTreeGate();
  // Calls that come while one reads share the next: it can't hang, as it asks no device.
  const backingFiles = coalesced<void, ReadonlyMap<string, string>>(readBackingFiles);
  const trees = new Map<string, Tree>();
  return {
    layout,
    options,
    run,
    fences,
    loopDevices: async (search) => await askLoopDevices(run, candidates(await backingFiles(), search)),
    refusedOptions: new Map(),
    withTree: (uid, work) =>
      gate.enter(uid, async () => {
        // Not asked for again and again: the volume says when it is well, which wakes what waits for it.
        if (fences.isStuck(uid)) throw stuckVolume('VolumeNotReady');
        const mount = await proveTreeMount(layout, uid);
        // Calls are put together only by those who share one.
        let tree = trees.get(uid);
        if (tree === undefined || !isTreeOf(tree, mount)) {
          tree = createTree(fences.in(uid), mount, placesOf(layout, uid));
          trees.set(uid, tree);
        }
        const found = tree;
        return await fences.within(uid, () => work(found));
      }),
    withoutTree: (uid, work) =>
      gate.close(uid, async () => {
        trees.delete(uid);
        return await work();
      }),
    async withVolume(uid, signal, work) {
      const before = queues.get(uid);
      const turn = (async () => {
        await before?.catch(() => undefined);
        return await fences.within(uid, () => work(fences.run(uid, signal), fences.run(uid)));
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
 * A kept tree counts only for the mount of now: after a hand-made unmount the loop device of then may be another filesystem's, while btrfs
 * gives the same device number to the next mount. That the mount is the volume's has been proven.
 */
function isTreeOf({ device, deviceNumber, path }: Tree, mount: Mount): boolean {
  return device === mount.source && deviceNumber === mount.device && path === mount.mountPoint;
}

export function placesOf(layout: Layout, uid: string): TreePlaces {
  return { outboxPath: layout.outboxPath(uid), sidePath: layout.sidePath(uid) };
}

/** Gives what a tool or the node's filesystem refused a storage code, and says what could not be done. */
export async function attempt<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StorageError) throw error;
    if (error instanceof CommandError) throw fromCommand(what, error);
    if (isErrno(error, 'ENOSPC', 'EDQUOT')) throw nodeIsFull(what, error);
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
  // Which one it was differs from try to try; the log has the command as it was.
  const message = `could not ${what}: ${error.message.replaceAll(LOOP_DEVICE, 'the loop device')}`;
  if (stillRunning || timedOut) {
    return new StorageError('timeout', message, { cause: error, reason: 'CommandStuck' });
  }
  if (aborted) return new StorageError('aborted', message, { cause: error });
  if (!/No space left on device|Disk quota exceeded/.test(stderrTail)) {
    return new StorageError('failed', message, { cause: error, reason: 'CommandFailed' });
  }
  return HOST_WRITERS.includes(error.command.file) ? nodeIsFull(what, error) : volumeIsFull(what, error);
}

/** Commands that write into files of the node; all others write into a volume. */
const LOOP_DEVICE = /\/dev\/loop\d+/g;
const HOST_WRITERS: readonly string[] = ['mkfs.btrfs', 'truncate'];

function volumeIsFull(what: string, cause: unknown): StorageError {
  const message = `could not ${what}: the volume is full; raise its spec.size, or delete data or Snapshots that are in it`;
  return new StorageError('out-of-space', message, { cause, reason: 'OutOfSpace' });
}

function nodeIsFull(what: string, cause: unknown): StorageError {
  const message = `could not ${what}: the node's file system is full; free space on it`;
  return new StorageError('out-of-space', message, { cause, reason: 'HostPressure' });
}
