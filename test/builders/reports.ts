import type { Report } from '../../src/agent/volumes/report.ts';
import type { LoopbackVolumeStatus } from '../../src/api/loopback-volume.ts';
import type { Usage } from '../../src/storage/volumes/glance.ts';
import { volumeOf } from './objects.ts';
import { mountedSeen, UID } from './observations.ts';
import { GIB, MIB, wishWith } from './wishes.ts';

export function usageWith(parts: Partial<Usage> = {}): Usage {
  return {
    usedBytes: MIB,
    freeBytes: GIB - MIB,
    hostBytes: MIB,
    unallocatedBytes: GIB / 2,
    deviceErrors: {},
    ...parts,
  };
}

/** A healthy, mounted volume at generation 3, about which nothing was written yet. */
export function reportWith(parts: Partial<Report> = {}): Report {
  return {
    volume: volumeWith({}),
    wish: wishWith(),
    seen: mountedSeen(),
    usage: usageWith(),
    hostPressure: undefined,
    imagePath: `/root/images/${UID}.img`,
    exportsPath: '/root/exports',
    now: new Date('2026-01-01T12:00:00Z'),
    ...parts,
  };
}

/** The same volume with this status, as the next pass finds it. */
export function volumeWith(status: Partial<LoopbackVolumeStatus>) {
  return volumeOf({ metadata: { uid: UID, generation: 3 }, status });
}
