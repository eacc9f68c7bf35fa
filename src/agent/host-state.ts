import { findCondition } from '../api/conditions.ts';
import type { LoopbackVolume } from '../api/loopback-volume.ts';
import { parseQuantity, roundUpToSector } from '../api/quantity.ts';
import type { Storage } from '../storage/context.ts';
import { readExportedBytes } from '../storage/exports.ts';
import { type HostSpace, readHostSpace } from '../storage/root.ts';
import { createHostRoom, type HostRoom } from './host-room.ts';
import { allocatableBytes, type CapacitySettings, pressureOf } from './node/capacity.ts';
import type { HostFacts } from './volumes/decide.ts';

/** How full the node's filesystem is, as last looked at, and what that means for its volumes. */
export interface HostState {
  readonly space: HostSpace;
  readonly pressure: string | undefined;
  readonly allocatableBytes: number;
  /** Looks anew; true if pressure came or went. */
  refresh(): Promise<boolean>;
  /** What exported files hold, those that are being written included. */
  readonly exportedBytes: number;
  /** For what is written beside volumes. */
  readonly room: HostRoom;
  /** Sum of the sizes of the volumes of this node, and of what is exported. */
  committedBytes(): number;
  factsFor(volume: LoopbackVolume): HostFacts;
}

export async function createHostState(
  storage: Storage,
  settings: CapacitySettings,
  volumes: () => Iterable<LoopbackVolume>,
): Promise<HostState> {
  let space = await readHostSpace(storage);
  let filesBytes = await readExportedBytes(storage);
  const room = createHostRoom(() => readHostSpace(storage), settings);
  const exportedBytes = () => filesBytes + room.promisedBytes;
  let pressure = pressureOf(space, settings);
  const committedBytes = (except?: string) => {
    const others = [...volumes()].filter(({ metadata }) => metadata.uid !== except);
    return others.reduce((sum, volume) => sum + committedTo(volume), exportedBytes());
  };
  return {
    get space() {
      return space;
    },
    get pressure() {
      return pressure;
    },
    get allocatableBytes() {
      return allocatableBytes(space, settings);
    },
    get exportedBytes() {
      return exportedBytes();
    },
    room,
    async refresh() {
      const before = pressure;
      filesBytes = await readExportedBytes(storage);
      space = await readHostSpace(storage);
      pressure = pressureOf(space, settings, before);
      return before !== pressure;
    },
    committedBytes: () => committedBytes(),
    factsFor(volume) {
      const own = volume.status.sizeBytes ?? 0;
      const growthBytes = allocatableBytes(space, settings) - committedBytes(volume.metadata.uid) - own;
      return { pressure, growthBytes };
    },
  };
}

/** The size that a volume may have; growth that the node refused is not held against others. */
function committedTo({ spec, status }: LoopbackVolume): number {
  const wantedBytes = roundUpToSector(parseQuantity(spec.size));
  const refused = findCondition(status.conditions, 'Resized')?.reason;
  if (refused === 'NodeFull' || refused === 'HostPressure') return status.sizeBytes ?? wantedBytes;
  return Math.max(wantedBytes, status.sizeBytes ?? 0);
}
