import type { Turn } from './boundaries.ts';
import type { CrashCaches } from './crash-caches.ts';

/** Changes of caches and claims that lead back to where they began. */
export interface CacheTrip {
  readonly name: string;
  /** Done once, before the first turn. */
  readonly prepare?: (caches: CrashCaches) => Promise<void>;
  readonly turns: readonly Turn<CrashCaches>[];
}

const owner = { uid: 1000, gid: 1001, mode: '0750' };

export const cacheTrips: readonly CacheTrip[] = [
  {
    name: 'a cache from its first generation to its end',
    turns: [
      { name: 'create cache', change: (caches) => caches.createCache('brief', { owner }) },
      { name: 'delete cache', change: (caches) => caches.deleteCache('brief') },
    ],
  },
  {
    name: 'a claim that is published',
    async prepare(caches) {
      await caches.createCache('npm', { owner });
      await caches.expectConvergence();
    },
    turns: [
      {
        name: 'clone',
        change: (caches) => caches.claim('job', 'npm'),
        order: ['btrfs subvolume snapshot', 'install', 'btrfs filesystem sync', 'cp'],
      },
      {
        name: 'publish',
        async change(caches) {
          await caches.work('job');
          await caches.release('job', 'Published');
        },
        order: ['btrfs subvolume snapshot', 'cp', 'mv', 'btrfs subvolume delete'],
      },
      { name: 'delete claim', change: (caches) => caches.deleteClaim('job'), repeats: true },
    ],
  },
  {
    name: 'a read-only claim that is deleted, and a reset',
    turns: [
      {
        name: 'clone read-only',
        change: (caches) => caches.claim('reader', 'npm', { access: 'ReadOnly', owner }),
        news: ['btrfs subvolume snapshot', 'btrfs subvolume delete'],
      },
      { name: 'delete reader', change: (caches) => caches.deleteClaim('reader') },
      {
        name: 'reset',
        change: (caches) => caches.reset('npm'),
        news: ['mv', 'btrfs subvolume create', 'btrfs subvolume snapshot', 'btrfs subvolume delete'],
      },
    ],
  },
];
