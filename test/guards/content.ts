import type { Guard } from './guard.ts';

const RECEIVING_TEST = 'test/integration/streams/receiving.test.ts';
const RELEASE = 'src/agent/claims/judge-release.ts';
const RELEASE_TEST = 'test/unit/agent/judge-release.test.ts';
const ANCESTOR = 'src/storage/snapshots/common-ancestor.ts';
const ANCESTOR_TEST = 'test/unit/storage/common-ancestor.test.ts';

/** Snapshots, streams, caches. */
export const contentGuards: readonly Guard[] = [
  {
    promise: 'rule 15: streams from outside are received with -C',
    breaks: 'a stream could write anywhere on the node',
    file: 'src/host/btrfs-stream.ts',
    from: "const chroot = rights === undefined ? [] : ['-C'];",
    to: 'const chroot: string[] = [];',
    test: RECEIVING_TEST,
  },
  {
    promise: 'rule 15: what others have written is mounted without rights',
    breaks: 'a setuid file of a stream could be run on the node',
    file: 'src/storage/foreign-mount.ts',
    from: "['nosuid', 'nodev', 'noexec', 'nosymfollow', 'noatime']",
    to: "['nodev', 'noexec', 'nosymfollow', 'noatime']",
    test: RECEIVING_TEST,
  },
  {
    promise: 'rule 4: what is received is on disk before it counts',
    breaks: 'a power cut left empty files in what is Ready',
    file: 'src/storage/snapshots/receive.ts',
    from: '    await tree.sync();\n    const received = await findReceived',
    to: '    const received = await findReceived',
    test: RECEIVING_TEST,
  },
  {
    promise: 'D12 rule 7: an incremental parent is chosen by uuid',
    breaks: 'a parent were chosen that the receiver does not have',
    file: ANCESTOR,
    from: 'known.has(streamUUID(candidate)) && distances',
    to: 'distances',
    test: ANCESTOR_TEST,
  },
  {
    promise: 'D12 an incremental parent is chosen by descent',
    breaks: 'an unrelated subvolume were taken for a parent',
    file: ANCESTOR,
    from: ' && distances.has(candidate.uuid)',
    to: '',
    test: ANCESTOR_TEST,
  },
  {
    promise: 'B17',
    breaks: 'the second of two that started alike were published',
    file: RELEASE,
    from: 'current.number > record.baseGeneration',
    to: 'current.number > record.baseGeneration + 99',
    test: RELEASE_TEST,
  },
  {
    promise: 'B20',
    breaks: 'a clone that was only read became a generation',
    file: RELEASE,
    from: 'lastChange <= record.btrfsGeneration',
    to: 'lastChange < record.btrfsGeneration',
    test: RELEASE_TEST,
  },
  {
    promise: 'B21',
    breaks: 'a clone of before a reset were published',
    file: RELEASE,
    from: 'record.baseGeneration < cacheRecord.firstGeneration || ',
    to: '',
    test: RELEASE_TEST,
  },
  {
    promise: 'F43',
    breaks: 'a claim counted as released because its status has an outcome',
    file: RELEASE,
    from: 'return spec.release !== undefined || metadata.deletionTimestamp !== undefined;',
    to: 'return spec.release !== undefined || metadata !== undefined;',
    test: RELEASE_TEST,
  },
];
