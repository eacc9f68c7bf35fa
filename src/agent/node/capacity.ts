import type { HostSpace } from '../../storage/root.ts';

/** The agent's settings for how much of the node is given to volumes. */
export interface CapacitySettings {
  readonly overcommitRatio: number;
  /** Undefined: 5 % of the filesystem, 1 GiB at most. */
  readonly reserveBytes: number | undefined;
  readonly hostPressurePercent: number;
  /** No pressure while this much is free; undefined: only the percentage counts. */
  readonly hostPressureBytes: number | undefined;
}

const MAX_AUTO_RESERVE_BYTES = 1024 ** 3;
const AUTO_RESERVE_PART = 0.05;

/** Sum of sizes that the volumes of this node may have: total × overcommit − reserve. */
export function allocatableBytes({ totalBytes }: HostSpace, settings: CapacitySettings): number {
  const reserve = settings.reserveBytes ?? Math.min(totalBytes * AUTO_RESERVE_PART, MAX_AUTO_RESERVE_BYTES);
  return Math.max(0, Math.floor(totalBytes * settings.overcommitRatio - reserve));
}

/** Says that the node's filesystem is almost full, in the same words each time; undefined while it is not. */
export function pressureOf({ totalBytes, freeBytes }: HostSpace, settings: CapacitySettings): string | undefined {
  const { hostPressurePercent, hostPressureBytes = Number.POSITIVE_INFINITY } = settings;
  const enough = freeBytes >= (totalBytes * hostPressurePercent) / 100 || freeBytes >= hostPressureBytes;
  return enough ? undefined : `less than ${hostPressurePercent} % of the node's file system is free`;
}
