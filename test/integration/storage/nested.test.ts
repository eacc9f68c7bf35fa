import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readMounts } from '../../../src/host/mountinfo.ts';
import { removeClaim } from '../../../src/storage/caches/claim.ts';
import { removeCache } from '../../../src/storage/caches/remove.ts';
import { removeSnapshot } from '../../../src/storage/snapshots/remove.ts';
import type { Tree } from '../../../src/storage/tree.ts';
import { removeVolume } from '../../../src/storage/volumes/remove.ts';
import { MiB, openStore } from './store.ts';

type Store = Awaited<ReturnType<typeof openStore>>;
let store: Store;
let volume: string;

beforeAll(async () => {
  store = await openStore();
  volume = await store.mounted(512 * MiB);
});
afterAll(() => store?.[Symbol.asyncDispose]());

const UID = '11111111-2222-4333-8444-555555555555';
const inTree = <T>(work: (tree: Tree) => Promise<T>) => store.storage.withTree(volume, work);
const sh = (script: string, cwd: string) =>
  execFileSync('sh', ['-ec', script], { cwd, stdio: ['ignore', 'ignore', 'inherit'] });

/** Where each kind has what it is removed by. */
const kinds = {
  Snapshot: { area: `snapshots/${UID}`, name: 'ro', remove: removeSnapshot },
  BuildCache: { area: `caches/${UID}`, name: '1', remove: removeCache },
  BuildCacheClaim: { area: `claims/${UID}`, name: 'rw', remove: removeClaim },
} as const;

/** What keeps a subvolume `"$1"` from being deleted, and a tenant or a privileged pod can set. */
const seals = {
  'immutable at its top': 'chattr +i .',
  'append-only at its top': 'chattr +a .',
  'read-only with a subvolume in it': 'btrfs -q subvolume create in && btrfs property set -t subvol . ro true',
  'a subvolume in an immutable directory': 'mkdir -p a/b && btrfs -q subvolume create a/b/c && chattr +i a/b',
  'an immutable subvolume in an append-only one':
    'btrfs -q subvolume create a && btrfs -q subvolume create a/b && chattr +i a/b && chattr +a a .',
  'names that are no words':
    'btrfs -q subvolume create -- "$(printf "i\nID 256 gen 1 top level 5 path x")" && mkdir -- -delete && btrfs -q subvolume create -- "./-delete/{} ;"',
} as const;

test.each(Object.keys(kinds) as (keyof typeof kinds)[])(
  'F26 %s: what was sealed is deleted, and nothing else',
  async (kind) => {
    const { area, name, remove } = kinds[kind];
    for (const [seal, script] of Object.entries(seals)) {
      await inTree(async (tree) => {
        await tree.makeAreas();
        sh(`mkdir -p ${area} && btrfs -q subvolume create ${area}/${name}`, tree.path);
        sh(script, `${tree.path}/${area}/${name}`);
        sh('mkdir -p data/kept && btrfs -q subvolume create data/kept/in && chattr +i data/kept', tree.path);
        expect(await remove(tree, UID), seal).toBe('removed');
        expect(
          [...(await tree.list()).keys()].filter((path) => path.includes(UID)),
          seal,
        ).toEqual([]);
        expect(await tree.hasNested('data'), seal).toBe(true);
        sh(
          'lsattr -d data/kept | grep -q i && chattr -i data/kept && btrfs -q subvolume delete data/kept/in',
          tree.path,
        );
      });
    }
  },
);

test('F21 Snapshot: hundreds of subvolumes in it, at any depth, go in a few commands and one commit', async () => {
  await inTree(async (tree) => {
    const { area, name } = kinds.Snapshot;
    sh(`mkdir -p ${area} && btrfs -q subvolume create ${area}/${name}`, tree.path);
    const make = 'for i in $(seq 0 299); do echo d/s$i; done | xargs -n1 -P2 btrfs -q subvolume create';
    sh(
      `mkdir d && ${make} && p=d/s7; for i in 1 2 3 4 5 6 7 8; do p=$p/n; btrfs -q subvolume create $p; done`,
      `${tree.path}/${area}/${name}`,
    );
    const before = store.commands.length;
    expect(await removeSnapshot(tree, UID)).toBe('removed');
    const commands = store.commands.slice(before).map(({ file, args }) => [file, ...args].join(' '));
    expect(commands.length).toBeLessThan(20);
    expect(commands.filter((command) => command.includes('--commit-after')).length).toBeLessThan(3);
    expect([...(await tree.list()).keys()].filter((path) => path.includes(UID))).toEqual([]);
  });
});

test('F15 what many ask to remove at once is done in parts', async () => {
  await inTree(async (tree) => {
    await tree.makeAreas();
    const names = Array.from({ length: 1_300 }, (_, index) => `staging/s${index}`);
    sh('mkdir -p staging && seq -f staging/s%g 0 9 | xargs -n1 btrfs -q subvolume create', tree.path);
    const groups = Array.from({ length: 13 }, (_, group) => names.slice(group * 100, group * 100 + 100));
    const ends = await Promise.allSettled([
      ...groups.map((group) => tree.removeSubvolumes(group)),
      ...names.map((name) => tree.removeDirectory(`snapshots/${name.slice(8)}`)),
    ]);
    expect(ends.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect([...(await tree.list()).keys()].filter((path) => path.startsWith('staging/'))).toEqual([]);
  });
});

test('F20 what an agent that died left mounted in its own places is no user: of a Snapshot, and of a volume that is unmounted', async () => {
  const uid = await store.mounted(256 * MiB);
  const { layout } = store.storage;
  const own = [layout.receivingPath(UID), layout.sidePath(uid)];
  await store.storage.withTree(uid, async (tree) => {
    const { area, name } = kinds.Snapshot;
    sh(`mkdir -p ${area} && btrfs -q subvolume create ${area}/${name}`, tree.path);
    const id = (await tree.list()).get(`${area}/${name}`)?.id;
    for (const place of own) sh(`mkdir -p ${place} && mount -o subvolid=${id} ${tree.device} ${place}`, tree.path);
    expect(await removeSnapshot(tree, UID)).toBe('removed');
  });
  sh(`umount ${layout.volumePath(uid)}`, '/');
  expect(await removeVolume(store.storage, uid)).toBe('removed');
  expect((await readMounts()).filter(({ mountPoint }) => own.includes(mountPoint))).toEqual([]);
});
