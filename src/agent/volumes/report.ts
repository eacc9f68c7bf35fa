import { formatTime } from '../../api/conditions.ts';
import type { LoopbackVolume, LoopbackVolumeStatus } from '../../api/loopback-volume.ts';
import type { Usage } from '../../storage/volumes/glance.ts';
import type { VolumeObservation } from '../../storage/volumes/observe.ts';
import type { Refusal } from './decide.ts';
import type { Failing } from './failing.ts';
import type { Wish } from './wish.ts';

export type Progress = NonNullable<LoopbackVolumeStatus['progress']>;

/** How far the content of spec.source is. */
export type Import = NonNullable<LoopbackVolumeStatus['import']>;

/** Everything that a status is made of. */
export interface Report {
  readonly volume: LoopbackVolume;
  readonly wish: Wish;
  /** Undefined when the volume could not be looked at. */
  readonly seen: VolumeObservation | undefined;
  readonly usage: Usage | undefined;
  /** Why the volume as a whole is not as wanted. */
  readonly failure?: Refusal | undefined;
  /** Why its size is not. */
  readonly resizeRefusal?: Refusal | undefined;
  /** Why its image is not exported. */
  readonly exportRefusal?: Refusal | undefined;
  /** What btrfs counts errors of. */
  readonly failing?: Failing | undefined;
  readonly hostPressure: string | undefined;
  /** Undefined: as it was said before, if it had come to its end. */
  readonly import?: Import | undefined;
  readonly progress?: Progress | undefined;
  readonly imagePath: string;
  readonly exportsPath: string;
  readonly now: Date;
}

/** The entry of a status that says how far a long operation is. */
export function progressOf(
  operation: Progress['operation'],
  phase: string,
  bytes: { sizeBytes: number; movedBytes: number },
  times: { startedAt: Date; now: Date },
): Progress {
  return {
    operation,
    // Steps of storage are words in lower case, words of the API are in CamelCase.
    phase: phase.charAt(0).toUpperCase() + phase.slice(1),
    ...bytes,
    startedAt: formatTime(times.startedAt),
    updatedAt: formatTime(times.now),
  };
}
