import { Counter, Histogram, type Registry } from 'prom-client';

export interface CacheName {
  readonly namespace: string;
  readonly name: string;
}

/** What an agent measures of BuildCaches. */
export interface CacheMetrics {
  /** A claim got its clone: of content (a hit), or of an empty generation (a miss). */
  cloned(cache: CacheName, result: 'hit' | 'miss'): void;
  /** A release was judged. */
  released(cache: CacheName, outcome: string): void;
  operationEnded(operation: 'clone' | 'publish', durationMs: number): void;
  lockWaited(waitedMs: number): void;
  /** There is no series of the cache any more. */
  forget(cache: CacheName): void;
}

const SECONDS = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60];
const OUTCOMES = ['Published', 'Superseded', 'Unchanged', 'Discarded'];

export function createCacheMetrics(registry: Registry): CacheMetrics {
  const registers = [registry];
  const clones = new Counter({
    name: 'btrfs_cache_clones_total',
    help: 'Clones that claims got; hit: of content, miss: of an empty generation.',
    labelNames: ['namespace', 'name', 'result'],
    registers,
  });
  const releases = new Counter({
    name: 'btrfs_cache_releases_total',
    help: 'Claims that were released, by what became of them.',
    labelNames: ['namespace', 'name', 'outcome'],
    registers,
  });
  const operations = new Histogram({
    name: 'btrfs_cache_operation_duration_seconds',
    help: 'How long cloning and publishing took, with the wait for the lock.',
    labelNames: ['operation'],
    buckets: SECONDS,
    registers,
  });
  const waits = new Histogram({
    name: 'btrfs_cache_lock_wait_seconds',
    help: 'How long work on a cache waited for other work on it; the work of jobs is never waited for.',
    buckets: SECONDS,
    registers,
  });
  return {
    cloned: (cache, result) => clones.inc({ ...cache, result }),
    released: (cache, outcome) => releases.inc({ ...cache, outcome }),
    operationEnded: (operation, durationMs) => operations.observe({ operation }, durationMs / 1000),
    lockWaited: (waitedMs) => waits.observe(waitedMs / 1000),
    forget(cache) {
      for (const result of ['hit', 'miss']) clones.remove({ ...cache, result });
      for (const outcome of OUTCOMES) releases.remove({ ...cache, outcome });
    },
  };
}
