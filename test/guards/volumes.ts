import type { Guard } from './guard.ts';

export const volumeGuards: readonly Guard[] = [
  {
    promise: 'A7',
    breaks: 'volumes were mounted without barriers though nobody said Disposable',
    file: 'src/storage/volumes/mount-options.ts',
    from: "settings.durability === 'Disposable' ? 'nobarrier' : 'barrier'",
    to: "'nobarrier'",
    test: 'test/unit/storage/mount-options.test.ts',
  },
  {
    promise: 'A8',
    breaks: 'a level that the kernel clamps were said to be in effect',
    file: 'src/storage/volumes/mount-options.ts',
    from: 'Math.min(number, MAX_ZSTD_LEVEL)',
    to: 'number',
    test: 'test/unit/storage/mount-options.test.ts',
  },
  {
    promise: 'mounts handed to pods are nosuid and nodev',
    breaks: 'a volume could carry setuid programs to the node',
    file: 'src/storage/volumes/mount-options.ts',
    from: "['noatime', 'nosuid', 'nodev'] as const",
    to: "['noatime', 'nodev'] as const",
    test: 'test/unit/storage/mount-options.test.ts',
  },
];
