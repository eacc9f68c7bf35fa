import { StorageError } from '../storage/errors.ts';
import type { HostSpace } from '../storage/root.ts';
import { type CapacitySettings, pressureFloorBytes } from './node/capacity.ts';

/** Something large that is to be written to the node's filesystem. */
export interface LargeWrite {
  /** The same each time it is tried. */
  readonly name: string;
  /** An image is counted by the size of its volume already. */
  readonly into: 'Export' | 'Image';
  /** How many bytes about; 0 where nobody knows. */
  readonly neededBytes: number;
  readonly signal: AbortSignal;
}

export interface Room {
  /** Aborts with that of the write, and when space gets short. */
  readonly signal: AbortSignal;
  /** Told how much was written. */
  readonly onBytes: (bytes: number) => void;
}

/** Room on the node's filesystem for what is written beside volumes: none is written on into the space that volumes need. */
export interface HostRoom {
  /**
   * Runs `work` if its bytes fit in without pressure on the node, and breaks it off when pressure begins; it then removes what it wrote. Throws
   * `out-of-space` (HostPressure). What was broken off is begun again when there is more room than it had.
   */
  use<T>(write: LargeWrite, work: (room: Room) => Promise<T>): Promise<T>;
  /** What running exports have, or will. */
  readonly promisedBytes: number;
}

const LOOK_MS = 250;
/** What was broken off may need this times what it had got by then. */
const MORE = 1.25;
const MiB = 1024 ** 2;

interface Use {
  readonly into: LargeWrite['into'];
  readonly neededBytes: number;
  writtenBytes: number;
}

export function createHostRoom(readSpace: () => Promise<HostSpace>, settings: CapacitySettings): HostRoom {
  const running = new Set<Use>();
  const reached = new Map<string, number>();
  /** Bytes that may be written now by somebody new. */
  const leftBytes = async () => {
    const space = await readSpace();
    const outstanding = [...running].reduce((sum, use) => sum + Math.max(0, use.neededBytes - use.writtenBytes), 0);
    return space.freeBytes - pressureFloorBytes(space, settings) - outstanding;
  };
  const watch = (onFull: () => void): Disposable => {
    const timer = setInterval(() => {
      const look = async () => {
        const space = await readSpace();
        if (space.freeBytes < pressureFloorBytes(space, settings)) onFull();
      };
      look().catch(() => undefined);
    }, LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  };
  return {
    get promisedBytes() {
      const exports = [...running].filter(({ into }) => into === 'Export');
      return exports.reduce((sum, use) => sum + Math.max(use.neededBytes, use.writtenBytes), 0);
    },
    async use(write, work) {
      const { name, into, neededBytes, signal } = write;
      const needed = Math.max(neededBytes, (reached.get(name) ?? 0) * MORE);
      if ((await leftBytes()) < needed) throw noRoom(write, needed > neededBytes);
      const use: Use = { into, neededBytes: needed, writtenBytes: 0 };
      const full = new AbortController();
      running.add(use);
      try {
        using _watch = watch(() => full.abort());
        const result = await work({
          signal: AbortSignal.any([signal, full.signal]),
          onBytes(bytes) {
            use.writtenBytes = bytes;
          },
        });
        reached.delete(name);
        return result;
      } catch (error) {
        if (!full.signal.aborted || signal.aborted) throw error;
        reached.set(name, use.writtenBytes);
        throw brokenOff(write, error);
      } finally {
        running.delete(use);
      }
    },
  };
}

const WHAT = { Export: 'the export', Image: 'the copy of spec.source' } as const;

/** How far it got last time is no figure to name: it is another one each time. */
function noRoom({ into, neededBytes }: LargeWrite, isBegunAnew: boolean): StorageError {
  const bytes = isBegunAnew ? 'all of it' : `about ${Math.ceil(neededBytes / MiB)}Mi`;
  return hostPressure(`${WHAT[into]} is not begun: ${bytes} would leave the node's file system almost full`);
}

function brokenOff({ into }: LargeWrite, cause: unknown): StorageError {
  return hostPressure(`${WHAT[into]} was broken off and removed: the node's file system is almost full`, cause);
}

function hostPressure(why: string, cause?: unknown): StorageError {
  const message = `${why}; free space on the node`;
  return new StorageError('out-of-space', message, { reason: 'HostPressure', cause });
}
