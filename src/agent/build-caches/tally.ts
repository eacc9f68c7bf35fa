import type { ReleaseOutcome } from '../../api/build-cache-claim.ts';

/** Outcomes of one cache that its status does not count yet. */
export interface Uncounted {
  readonly outcomes: Readonly<Partial<Record<ReleaseOutcome, number>>>;
  readonly lastPublishedAt: Date | undefined;
}

/** Counts outcomes until the status of their cache has them. Those of a process that is killed in between are not counted. */
export interface Tally {
  add(cacheUid: string, outcome: ReleaseOutcome, at: Date): void;
  of(cacheUid: string): Uncounted;
  /** The status has these now. */
  counted(cacheUid: string, counted: Uncounted): void;
}

const nothing: Uncounted = { outcomes: {}, lastPublishedAt: undefined };

export function createTally(): Tally {
  const pending = new Map<string, Uncounted>();
  const of = (cacheUid: string) => pending.get(cacheUid) ?? nothing;
  return {
    of,
    add(cacheUid, outcome, at) {
      const { outcomes, lastPublishedAt } = of(cacheUid);
      pending.set(cacheUid, {
        outcomes: { ...outcomes, [outcome]: (outcomes[outcome] ?? 0) + 1 },
        lastPublishedAt: outcome === 'Published' ? at : lastPublishedAt,
      });
    },
    counted(cacheUid, counted) {
      const { outcomes, lastPublishedAt } = of(cacheUid);
      const left = Object.entries(outcomes)
        .map(([outcome, count]) => [outcome, count - (counted.outcomes[outcome as ReleaseOutcome] ?? 0)] as const)
        .filter(([, count]) => count > 0);
      if (left.length === 0) pending.delete(cacheUid);
      else pending.set(cacheUid, { outcomes: Object.fromEntries(left), lastPublishedAt });
    },
  };
}
