import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { planSend } from '../../../src/storage/snapshots/send.ts';
import type { Tree } from '../../../src/storage/tree.ts';
import { MiB, openStore } from './store.ts';

type Store = Awaited<ReturnType<typeof openStore>>;
let store: Store;
let volume: string;

beforeAll(async () => {
  store = await openStore();
  volume = await store.mounted(512 * MiB);
});
afterAll(() => store?.[Symbol.asyncDispose]());

const sh = (script: string, cwd: string) => execFileSync('sh', ['-ec', script], { cwd, stdio: 'ignore' });
/** The uid of the first or second Snapshot of a test. */
const uidOf = (test: number, which: 1 | 2) => `${test}1111111-2222-4333-8444-55555555555${which}`;
const DISK_BYTES = 2048 * MiB;

/** The plan for the Snapshot that comes of `change`, for a receiver that has the one before. */
function planAfter(name: number, before: string, change: string) {
  return store.storage.withTree(volume, async (tree: Tree) => {
    await tree.makeAreas();
    const commit = (as: string) =>
      sh(`mkdir -p snapshots/${as} && btrfs subvolume snapshot -r data snapshots/${as}/ro`, tree.path);
    sh(before, `${tree.path}/data`);
    commit(uidOf(name, 1));
    sh(change, `${tree.path}/data`);
    commit(uidOf(name, 2));
    const parent = (await tree.listReadOnly()).get(`snapshots/${uidOf(name, 1)}/ro`);
    if (parent === undefined) throw new Error('there is no parent');
    const plan = await planSend(tree, uidOf(name, 2), [parent], []);
    return { ...plan, isDifference: plan.ancestor?.uuid === parent.uuid };
  });
}

const SPARSE = `truncate -s ${DISK_BYTES} disk.img && printf x | dd of=disk.img bs=1 seek=${DISK_BYTES / 2} conv=notrunc`;
const NOISE = 'dd if=/dev/urandom of=noise bs=1M count=20 && cp --reflink=always noise again';

test('F28 Snapshot: a hole in a sparse file makes the difference larger than all: all is sent', async () => {
  const plan = await planAfter(1, SPARSE, `fallocate -p -o ${DISK_BYTES / 2} -l 4096 disk.img`);
  expect(plan).toMatchObject({ isDifference: false, ancestor: undefined, isAllSmaller: true });
  expect(plan.dataBytes).toBeLessThan(MiB);
});

test('F28 Snapshot: a hole that makes the difference smaller than all leaves it a difference', async () => {
  const plan = await planAfter(2, `rm -f disk.img; ${NOISE}`, 'fallocate -p -o 1M -l 1M noise');
  expect(plan).toMatchObject({ isDifference: true, isAllSmaller: false });
  expect(plan.dataBytes).toBeLessThanOrEqual(20 * MiB);
});

test('F28 Snapshot: without an ancestor all is reckoned, and what is shared counts once', async () => {
  await store.storage.withTree(volume, async (tree) => {
    const plan = await planSend(tree, uidOf(2, 1), [], []);
    expect(plan).toMatchObject({ ancestor: undefined, isAllSmaller: false });
    expect(plan.dataBytes).toBeGreaterThanOrEqual(20 * MiB);
    expect(plan.dataBytes).toBeLessThan(21 * MiB);
  });
});
