import type { Turn } from './boundaries.ts';
import type { CrashSnapshots } from './crash-snapshots.ts';

/** Changes of Snapshots that lead back to where they began: with one committed Snapshot `base` of the first volume. */
export interface SnapshotTrip {
  readonly name: string;
  /** Done once, before the first turn. */
  readonly prepare?: (snapshots: CrashSnapshots) => Promise<void>;
  readonly turns: readonly Turn<CrashSnapshots>[];
}

type SnapshotTurn = Turn<CrashSnapshots>;

const remove = (name: string, rest: Partial<SnapshotTurn> = {}): SnapshotTurn => ({
  name: `delete ${name}`,
  change: (snapshots) => snapshots.delete(name),
  ...rest,
});

const owner = { uid: 1000, gid: 1001, mode: '0750' };
const writable = { access: 'ReadWrite' };
const write = 'seq 1 20000 >numbers; mkdir dir; ln numbers dir/linked; sync -- numbers';
const nest = `${write}; btrfs subvolume create nested >&2; btrfs subvolume create nested/deeper >&2; seq 9 >nested/deeper/file`;

/** D6, D8, D13 within a volume. */
export const localTrips: readonly SnapshotTrip[] = [
  {
    name: 'a Snapshot of a volume',
    turns: [
      { name: 'create of-volume', change: (snapshots) => snapshots.create('of-volume', 'here', 'data', {}) },
      remove('of-volume', { news: ['btrfs subvolume delete'] }),
    ],
  },
  {
    name: 'a child that is committed',
    turns: [
      {
        name: 'create child',
        change: (snapshots) => snapshots.create('child', 'here', 'base', writable),
        repeats: true,
      },
      {
        name: 'commit child',
        prepare: (snapshots) => snapshots.work('child', write),
        change: (snapshots) => snapshots.commit('child'),
        order: ['btrfs subvolume snapshot', 'btrfs subvolume delete'],
      },
      remove('child', { repeats: true }),
    ],
  },
  {
    name: 'an empty one with an owner and nested subvolumes',
    turns: [
      {
        name: 'create empty',
        change: (snapshots) => snapshots.create('empty', 'here', undefined, { ...writable, owner }),
        order: ['btrfs subvolume create', 'install', 'mv', 'btrfs filesystem sync'],
        news: ['btrfs subvolume create', 'install', 'mv', 'btrfs filesystem sync'],
      },
      remove('empty', {
        prepare: (snapshots) => snapshots.work('empty', nest),
        order: ['btrfs subvolume delete', 'rm', 'btrfs filesystem sync'],
      }),
    ],
  },
  {
    name: 'a committed child with an owner',
    turns: [
      {
        name: 'create owned',
        change: (snapshots) => snapshots.create('owned', 'here', 'base', { owner }),
        news: ['btrfs subvolume snapshot', 'btrfs subvolume delete'],
      },
      remove('owned', { repeats: true }),
    ],
  },
];

const sends = ['btrfs send --quiet', 'btrfs receive --quiet'];

/** The same between two volumes of the node. */
export const transferTrips: readonly SnapshotTrip[] = [
  {
    name: 'a transfer of everything',
    turns: [
      {
        name: 'receive copy',
        change: (snapshots) => snapshots.create('copy', 'there', 'base', {}),
        repeats: true,
      },
      remove('copy', { repeats: true }),
    ],
  },
  {
    name: 'a transfer of the difference, writable and with an owner',
    async prepare(snapshots) {
      await snapshots.create('base-copy', 'there', 'base', {});
      await snapshots.create('next', 'here', 'data', {});
      await snapshots.expectConvergence();
    },
    turns: [
      {
        name: 'receive next',
        change: (snapshots) => snapshots.create('next-copy', 'there', 'next', { ...writable, owner }),
        news: ['btrfs subvolume create', 'mkfifo', ...sends, 'btrfs filesystem sync', 'btrfs subvolume delete'],
      },
      remove('next-copy', { repeats: true }),
    ],
  },
];

/** Send streams of a committed child, written and taken away again. */
export const exportTrips: readonly SnapshotTrip[] = [
  {
    name: 'exports',
    async prepare(snapshots) {
      await snapshots.create('exported', 'here', 'base', {});
      await snapshots.expectConvergence();
    },
    turns: [
      { name: 'export', change: (snapshots) => snapshots.export('exported', 'full', 'incremental') },
      { name: 'remove exports', change: (snapshots) => snapshots.export('exported') },
    ],
  },
];
