import type { Clock } from '../../runtime/clock.ts';
import type { OrphanData } from '../../storage/volumes/orphans.ts';

/** A volume that can't be looked into must not keep an agent from being ready for the others. */
const PATIENCE_MS = 30_000;

/**
 * Whether what lies on the node was listed in its BtrfsNode since this agent started. Who restores etcd waits for agents to be ready
 * before the controller may place a volume: it has to find the lists.
 */
export interface FirstList {
  /** The status of the node was written, with these orphans; undefined: as it was. */
  written(orphans: readonly OrphanData[] | undefined): void;
  readonly isWritten: boolean;
  /** Why the agent isn't ready for want of the list; undefined when it is written, or has not come for half a minute of asking. */
  complaint(): string | undefined;
}

export function createFirstList(clock: Pick<Clock, 'monotonicMs'>): FirstList {
  let askedMs: number | undefined;
  let isWritten = false;
  return {
    written(orphans) {
      isWritten ||= orphans !== undefined;
    },
    get isWritten() {
      return isWritten;
    },
    complaint() {
      askedMs ??= clock.monotonicMs();
      if (isWritten || clock.monotonicMs() - askedMs >= PATIENCE_MS) return undefined;
      return 'orphans of the node are not listed yet';
    },
  };
}
