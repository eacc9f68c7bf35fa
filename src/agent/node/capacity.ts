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
/** Pressure ends when this times what it begins below is free: what is written and deleted near it must not make it come and go. */
const RELIEF = 1.2;

/** Sum of sizes that the volumes of this node may have: total × overcommit − reserve. */
export function allocatableBytes({ totalBytes }: HostSpace, settings: CapacitySettings): number {
  const reserve = settings.reserveBytes ?? Math.min(totalBytes * AUTO_RESERVE_PART, MAX_AUTO_RESERVE_BYTES);
  return Math.max(0, Math.floor(totalBytes * settings.overcommitRatio - reserve));
}

/** With less than this free, pressure begins. */
export function pressureFloorBytes(
  { totalBytes }: Pick<HostSpace, 'totalBytes'>,
  { hostPressurePercent, hostPressureBytes = Number.POSITIVE_INFINITY }: CapacitySettings,
): number {
  return Math.min((totalBytes * hostPressurePercent) / 100, hostPressureBytes);
}

/** Says that the node's filesystem is almost full, in the same words each time; undefined while it is not. `before` is what this said last. */
export function pressureOf(
  { totalBytes, freeBytes }: HostSpace,
  settings: CapacitySettings,
  before?: string,
): string | undefined {
  const neededBytes = pressureFloorBytes({ totalBytes }, settings);
  if (freeBytes >= neededBytes * (before === undefined ? 1 : RELIEF)) return undefined;
  const reliefPercent = ((neededBytes * RELIEF * 100) / totalBytes).toFixed(0);
  return `the node's file system is almost full, until ${reliefPercent} % of it is free`;
}
