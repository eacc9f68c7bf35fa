import type { ListedSubvolume } from '../../src/host/subvolume-list.ts';
import type { CacheObservation, Generation } from '../../src/storage/caches/cache.ts';
import type { ClaimObservation } from '../../src/storage/caches/claim.ts';
import type { CacheRecord, ClaimRecord, GenerationOrigin } from '../../src/storage/caches/records.ts';

const AT = '2026-01-01T00:00:00.000Z';

/** A generation made by claim `job-<number>`; the first one is empty. */
export function generationOf(
  number: number,
  { origin, ...subvolume }: Partial<ListedSubvolume> & { readonly origin?: GenerationOrigin } = {},
): Generation {
  const made = number === 1 ? { from: 'Empty' as const } : { from: 'Claim' as const, ...job(number) };
  return {
    number,
    subvolume: {
      id: 300 + number,
      uuid: `uuid-${number}`,
      parentUUID: number === 1 ? undefined : `uuid-clone-${number}`,
      receivedUUID: undefined,
      generation: 40 + number,
      path: `.btrfs-operator/caches/uid-cache/${number}`,
      ...subvolume,
    },
    origin: origin ?? { ...made, at: AT },
  };
}

const job = (number: number) => ({ name: `job-${number}`, uid: `uid-job-${number}` });

/** The record of ns/cache that has had these generations. */
export function cacheRecordOf(parts: Partial<CacheRecord> = {}): CacheRecord {
  return {
    schemaVersion: 1,
    kind: 'BuildCache',
    uid: 'uid-cache',
    namespace: 'ns',
    name: 'cache',
    createdAt: AT,
    resetToken: '',
    firstGeneration: 1,
    nextGeneration: 2,
    made: {},
    ...parts,
  };
}

/** What is on disk of a cache with generations of these numbers. */
export function cacheSeenOf(numbers: readonly number[], record: Partial<CacheRecord> = {}): CacheObservation {
  const nextGeneration = (numbers.at(-1) ?? 1) + 1;
  return {
    record: cacheRecordOf({ nextGeneration, ...record }),
    generations: numbers.map((number) => generationOf(number)),
  };
}

/** The record of a claim that started from generation 3. */
export function claimRecordOf(parts: Partial<ClaimRecord> = {}): ClaimRecord {
  return {
    schemaVersion: 1,
    kind: 'BuildCacheClaim',
    uid: 'uid-claim',
    namespace: 'ns',
    name: 'claim',
    createdAt: AT,
    cacheUid: 'uid-cache',
    baseGeneration: 3,
    cloneUUID: 'uuid-clone',
    btrfsGeneration: 50,
    ...parts,
  };
}

/** A clone as it was made; `generation` is that of btrfs, and a larger one tells of changes. */
export function cloneOf(parts: Partial<ListedSubvolume> = {}): ListedSubvolume {
  return {
    id: 400,
    uuid: 'uuid-clone',
    parentUUID: 'uuid-3',
    receivedUUID: undefined,
    generation: 50,
    path: '.btrfs-operator/claims/uid-claim/rw',
    ...parts,
  };
}

export function claimSeenOf(
  generation: number | undefined,
  record: ClaimObservation['record'] = generation === undefined ? undefined : claimRecordOf(),
): ClaimObservation {
  return { clone: generation === undefined ? undefined : cloneOf({ generation }), record };
}
