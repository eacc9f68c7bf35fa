import type { Guard } from './guard.ts';

const DECIDE = 'src/agent/volumes/decide.ts';
const DECIDE_TEST = 'test/unit/agent/decide-volume.test.ts';
const DECIDE_SIZE_TEST = 'test/unit/agent/decide-size.test.ts';
const STATUS = 'src/agent/volumes/status.ts';
const STATUS_TEST = 'test/unit/agent/status.test.ts';
const LOSETUP = 'src/host/losetup.ts';
const LOSETUP_TEST = 'test/unit/host/losetup.test.ts';
const PARSERS_TEST = 'test/unit/host/parsers.test.ts';

/** LoopbackVolumes (rows A). */
export const imageGuards: readonly Guard[] = [
  {
    promise: 'A4',
    breaks: 'metadata had another profile than was asked for',
    file: 'src/host/mkfs.ts',
    from: '    options.metadataProfile,\n',
    to: "    'dup',\n",
    test: PARSERS_TEST,
  },
  {
    promise: 'A4',
    breaks: 'another label were not seen',
    file: 'src/storage/volumes/tune.ts',
    from: 'tree.label === settings.label ? [] :',
    to: "tree.label !== '' || settings.label !== '' ? [] :",
    test: DECIDE_TEST,
  },
  {
    promise: 'A6',
    breaks: 'several signatures counted for an empty image',
    file: 'src/host/blkid.ts',
    from: "  if (exitCode === 8) return 'several signatures';\n",
    to: '',
    test: PARSERS_TEST,
  },
  {
    promise: 'A9',
    breaks: 'device numbers did not compare with those of losetup',
    file: 'src/storage/volumes/observe.ts',
    from: '(number & 0xffn) |',
    to: '(number & 0xfn) |',
    test: 'test/unit/storage/observe.test.ts',
  },
  {
    promise: 'A10',
    breaks: 'the sector size were not given at attach',
    file: LOSETUP,
    from: 'options.sectorSize === undefined ? []',
    to: 'options.sectorSize !== undefined ? []',
    test: LOSETUP_TEST,
  },
  {
    promise: 'A11',
    breaks: 'direct I/O were not given at attach',
    file: LOSETUP,
    from: 'options.directIO === undefined ? []',
    to: 'options.directIO !== undefined ? []',
    test: LOSETUP_TEST,
  },
  {
    promise: 'A11 A9: status',
    breaks: 'status told what was asked for, and not what the kernel says',
    file: STATUS,
    from: 'directIO: loop?.directIO,',
    to: 'directIO: true,',
    test: STATUS_TEST,
  },
  {
    promise: 'A12',
    breaks: 'a loop device stayed after mounted: false',
    file: DECIDE,
    from: "seen.tree !== undefined || seen.loops.length > 0 || seen.strayDirectory) {\n    return { action: { kind: 'bring-down'",
    to: "seen.tree !== undefined || seen.strayDirectory) {\n    return { action: { kind: 'bring-down'",
    test: DECIDE_TEST,
  },
  {
    promise: 'A14',
    breaks: 'an unmounted volume had a mount path',
    file: STATUS,
    from: 'mountPath: tree === undefined ? undefined : tree.path,',
    to: 'mountPath: tree === undefined ? previous.mountPath : tree.path,',
    test: STATUS_TEST,
  },
  {
    promise: 'A15 rule 15',
    breaks: 'a path of a stream could lead out of staging',
    file: 'src/storage/streams/stream-path.ts',
    from: "name === '.' || name === '..'",
    to: "name === '.'",
    test: 'test/unit/storage/streams/hostile-streams.test.ts',
  },
  {
    promise: 'A16',
    breaks: 'a size of another shape were read',
    file: 'src/host/btrfs-filesystem.ts',
    from: ' bytes \\(\\d+(?:\\.\\d+)?[KMGTPE]?i?B\\)\\n?$/',
    to: '/',
    test: 'test/unit/host/min-dev-size.test.ts',
  },
  {
    promise: 'A18',
    breaks: 'a volume that has its size were resized in each pass',
    file: DECIDE,
    from: "if (!outdated && isSettledAt(targetBytes, seen, tree)) return { action: { kind: 'rest' } };",
    to: '',
    test: DECIDE_SIZE_TEST,
  },
  {
    promise: 'A18: minimized',
    breaks: 'a minimized volume were minimized in each pass',
    file: DECIDE,
    from: 'minimize !== undefined && done?.request !== minimize.request',
    to: 'minimize !== undefined',
    test: DECIDE_SIZE_TEST,
  },
  {
    promise: 'A20',
    breaks: 'status told the size that was asked for',
    file: STATUS,
    from: 'const sizeBytes = tree?.filesystemSizeBytes ?? image?.sizeBytes;',
    to: 'const sizeBytes = record?.sizeBytes ?? image?.sizeBytes;',
    test: STATUS_TEST,
  },
  {
    promise: 'A23 C2',
    breaks: 'an image without a record were taken for a new one',
    file: DECIDE,
    from: "  if (image !== undefined) {\n    return refuse(\n      'ForeignFilesystem'",
    to: "  if (image?.sizeBytes === 0) {\n    return refuse(\n      'ForeignFilesystem'",
    test: DECIDE_TEST,
  },
  {
    promise: 'A24',
    breaks: 'minimize left no headroom',
    file: 'src/api/loopback-volume-spec.ts',
    from: ".default('96Mi')",
    to: ".default('0')",
    test: 'test/unit/agent/wish.test.ts',
  },
  {
    promise: 'A24: the request',
    breaks: 'another size did not minimize anew',
    file: 'src/agent/volumes/wish.ts',
    from: 'request: `${headroomBytes} of ${sizeBytes}`',
    to: 'request: `${headroomBytes}`',
    test: 'test/unit/agent/wish.test.ts',
  },
];
