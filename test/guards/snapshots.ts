import type { Guard } from './guard.ts';

const DECIDE = 'src/agent/snapshots/decide.ts';
const DECIDE_TEST = 'test/unit/agent/decide-snapshot.test.ts';
const STATUS = 'src/agent/snapshots/status.ts';
const STATUS_TEST = 'test/unit/agent/snapshot-status.test.ts';

/** Life of a Snapshot (rows D). */
export const snapshotGuards: readonly Guard[] = [
  {
    promise: 'D2',
    breaks: 'a writable one were told to be committed',
    file: STATUS,
    from: "['False', 'Writable', 'still writable']",
    to: "['True', 'Committed', 'still writable']",
    test: STATUS_TEST,
  },
  {
    promise: 'D3 B7',
    breaks: 'what was Ready once became something else',
    file: DECIDE,
    from: 'if (status.uuid !== undefined) {',
    to: "if (status.uuid === '') {",
    test: DECIDE_TEST,
  },
  {
    promise: 'D4',
    breaks: 'a view were writable',
    file: 'src/host/subvolume.ts',
    from: "access === 'ReadOnly' ? ['-r'] : []",
    to: '[]',
    test: 'test/unit/host/existing-paths.test.ts',
  },
  {
    promise: 'D5',
    breaks: 'ancestors were listed from the root',
    file: STATUS,
    from: 'return [metadata.name, ...(status.ancestors ?? [])].slice',
    to: 'return [...(status.ancestors ?? []), metadata.name].slice',
    test: STATUS_TEST,
  },
  {
    promise: 'D6',
    breaks: 'what is left in staging stayed there',
    file: DECIDE,
    from: "    if (writable !== undefined) return { kind: 'commit' };\n    return { kind: staging === undefined ? 'rest' : 'clean' };",
    to: "    if (writable !== undefined) return { kind: 'commit' };\n    return { kind: 'rest' };",
    test: DECIDE_TEST,
  },
  {
    promise: 'D7 D15',
    breaks: 'status.mount did not say that a view is read-only',
    file: 'src/agent/subvolume-status.ts',
    from: "access === 'ReadOnly' ? ['ro'] : []",
    to: '[]',
    test: STATUS_TEST,
  },
  {
    promise: 'D8',
    breaks: 'a commit that died before the end did not go on',
    file: DECIDE,
    from: "    if (writable !== undefined) return { kind: 'commit' };\n    return { kind: staging === undefined ? 'rest' : 'clean' };",
    to: "    return { kind: staging === undefined ? 'rest' : 'clean' };",
    test: DECIDE_TEST,
  },
  {
    promise: 'D9 B8',
    breaks: 'a committed one became writable',
    file: DECIDE,
    from: "if (spec.access === 'ReadWrite') {",
    to: "if (spec.access === 'ReadWrite' && writable === undefined) {",
    test: DECIDE_TEST,
  },
  {
    promise: 'D10',
    breaks: 'status told of the writable one after the commit',
    file: STATUS,
    from: 'const found = committed ?? writable;',
    to: 'const found = writable ?? committed;',
    test: STATUS_TEST,
  },
  {
    promise: 'D12',
    breaks: 'children of another Snapshot held it up',
    file: 'src/agent/snapshots/relations.ts',
    from: '.filter((other) => sourceKey(other) === key && (',
    to: '.filter((other) => sourceKey(other) !== undefined && (',
    test: 'test/unit/agent/snapshot-relations.test.ts',
  },
  {
    promise: 'D12',
    breaks: 'one that has not received its content yet lost its source',
    file: 'src/agent/snapshots/relations.ts',
    from: ' || other.status.uuid === undefined)',
    to: ')',
    test: 'test/unit/agent/snapshot-relations.test.ts',
  },
  {
    promise: 'D18',
    breaks: 'a generation of a cache could be a path',
    file: 'src/storage/layout.ts',
    from: 'if (!Number.isSafeInteger(generation) || generation < 1) throw',
    to: 'if (Number.isNaN(generation)) throw',
    test: 'test/unit/storage/cache-records.test.ts',
  },
  {
    promise: 'D11 D20',
    breaks: 'each pass wrote its status again, changed or not',
    file: 'src/agent/status-writer.ts',
    from: 'if (isDeepStrictEqual(ownedPart(known), status)) said.note',
    to: 'if (status === undefined) said.note',
    test: 'test/unit/agent/status-writer.test.ts',
  },
];
