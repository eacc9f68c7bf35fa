import type { Guard } from './guard.ts';

const DECIDE_TEST = 'test/unit/agent/decide-build-cache.test.ts';
const RELEASE = 'src/agent/claims/judge-release.ts';
const RELEASE_TEST = 'test/unit/agent/judge-release.test.ts';
const LOCKS_TEST = 'test/unit/storage/shared-locks.test.ts';

/** Caches, claims, build results (rows B). */
export const cacheGuards: readonly Guard[] = [
  {
    promise: 'B2',
    breaks: 'a clone that nobody was told of counted for a whole one',
    file: 'src/agent/claims/decide.ts',
    from: 'return spec.release === undefined && status.baseGeneration === undefined;',
    to: "return spec.release === undefined && status.path === '';",
    test: DECIDE_TEST,
  },
  {
    promise: 'B3',
    breaks: 'an older kernel were taken',
    file: 'src/agent/node/kernel.ts',
    from: 'minor >= MIN_MINOR',
    to: 'minor >= 0',
    test: 'test/unit/agent/node.test.ts',
  },
  {
    promise: 'B3',
    breaks: 'junk were taken for the release of a kernel',
    file: 'src/agent/node/kernel.ts',
    from: 'if (match === null) throw new TypeError(`not a kernel release',
    to: 'if (match === null) return [99, 0];\n  if (match === undefined) throw new TypeError(`not a kernel release',
    test: 'test/unit/agent/node.test.ts',
  },
  {
    promise: 'B4',
    breaks: 'the agent ran a command that no document names',
    file: 'src/host/coreutils.ts',
    from: "file: 'truncate', args",
    to: "file: 'fallocate2', args",
    test: 'test/unit/host/documented-commands.test.ts',
  },
  {
    promise: 'B5',
    breaks: 'a snapshot landed in a directory that exists',
    file: 'src/host/subvolume.ts',
    from: "'--', `${source}/.`, destination]",
    to: "'--', source, destination]",
    test: 'test/unit/host/existing-paths.test.ts',
  },
  {
    promise: 'B14',
    breaks: 'a new cache got no first generation',
    file: 'src/agent/build-caches/decide.ts',
    from: 'record.nextGeneration > record.firstGeneration + 1 ||',
    to: 'record.nextGeneration > record.firstGeneration ||',
    test: DECIDE_TEST,
  },
  {
    promise: 'B15',
    breaks: 'those who clone waited for each other',
    file: 'src/storage/shared-locks.ts',
    from: 'const turn = begin([queue.alone], work);',
    to: 'const turn = begin([queue.alone, ...queue.shared], work);',
    test: LOCKS_TEST,
  },
  {
    promise: 'B17 rule 13: who has a cache alone',
    breaks: 'a release did not wait for those who clone',
    file: 'src/storage/shared-locks.ts',
    from: 'before === undefined ? [] : [before.alone, ...before.shared]',
    to: 'before === undefined ? [] : [before.alone]',
    test: LOCKS_TEST,
  },
  {
    promise: 'B18',
    breaks: 'a clone that is gone after its publish counted for nothing',
    file: 'src/storage/caches/publish.ts',
    from: "(origin?.from === 'Claim' && origin.uid === uid)",
    to: "(origin?.from === 'Seed' && origin.uid === uid)",
    test: RELEASE_TEST,
  },
  {
    promise: 'B19',
    breaks: 'a base that was pruned did not compare any more',
    file: RELEASE,
    from: 'current !== undefined &&\n    current.number > record.baseGeneration',
    to: 'current !== undefined &&\n    current.number !== record.baseGeneration + 0 && cacheSeen.generations.some(({ number }) => number === record.baseGeneration)',
    test: RELEASE_TEST,
  },
  {
    promise: 'B20',
    breaks: 'the record of another clone were believed',
    file: 'src/storage/caches/claim.ts',
    from: 'record.cloneUUID === clone.uuid ? record',
    to: "record.cloneUUID !== '' ? record",
    test: 'test/unit/storage/cache-records.test.ts',
  },
  {
    promise: 'B21',
    breaks: 'a generation were pruned from under a claim',
    file: 'src/agent/build-caches/decide.ts',
    from: '.filter((generation) => !isKept(generation))',
    to: '',
    test: DECIDE_TEST,
  },
  {
    promise: 'B24',
    breaks: 'what is not allocated yet did not count for free',
    file: 'src/host/space-info.ts',
    from: 'Math.floor(Math.max(0, unallocatedBytes - RESERVED_BYTES) / dataCopies)',
    to: '0',
    test: 'test/unit/host/space-info.test.ts',
  },
];
