import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeSnapshot } from '../../../src/storage/snapshots/remove.ts';
import { countSubvolumes } from '../../integration/snapshots/on-disk.ts';
import { MiB, openStore } from '../../integration/storage/store.ts';

/** So many took longer than the deadline of a pass when each was a command, and a commit, of its own. */
const NESTED = 4_200;
const UID = '11111111-2222-4333-8444-555555555555';

let store: Awaited<ReturnType<typeof openStore>>;
beforeAll(async () => {
  store = await openStore();
});
afterAll(() => store?.[Symbol.asyncDispose]());

test(`F21 Snapshot: ${NESTED} subvolumes in it go in few commands`, async () => {
  const volume = await store.mounted(2048 * MiB);
  await store.storage.withTree(volume, async (tree) => {
    const script = `mkdir -p snapshots/$0 && cd snapshots/$0 && btrfs -q subvolume create ro && cd ro && mkdir d &&
      seq -f d/s%g 1 ${NESTED} | xargs -n1 -P2 btrfs -q subvolume create`;
    execFileSync('sh', ['-ec', script, UID], { cwd: tree.path, stdio: ['ignore', 'ignore', 'inherit'] });
    expect(countSubvolumes(tree.path)).toBeGreaterThan(NESTED);
    const before = store.commands.length;
    expect(await removeSnapshot(tree, UID)).toBe('removed');
    expect(store.commands.length - before).toBeLessThan(20);
    expect(countSubvolumes(tree.path)).toBeLessThan(5);
  });
});
