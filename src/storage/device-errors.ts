import type { DeviceErrors } from '../host/btrfs-sysfs.ts';

/** Both together, kind by kind. */
export function addErrors(left: DeviceErrors, right: DeviceErrors, sign: 1 | -1 = 1): DeviceErrors {
  const kinds = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return Object.fromEntries(kinds.map((kind) => [kind, Math.max(0, (left[kind] ?? 0) + sign * (right[kind] ?? 0))]));
}

/** Kinds of which more is counted than there was. */
export function kindsAbove(counted: DeviceErrors, before: DeviceErrors): readonly string[] {
  return Object.keys(counted).filter((kind) => (counted[kind] ?? 0) > (before[kind] ?? 0));
}

export function sumOfErrors(errors: DeviceErrors): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}
