import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { findCondition } from '../../src/api/conditions.ts';
import { cacheKit } from './caches/kit.ts';
import { dataPathOf, type Lab, startLab } from './lab.ts';
import { sh } from './recovery/host-view.ts';
import { snapshotKit } from './snapshots/kit.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab();
  await lab.startAgent('node-a');
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

/** Large blocks first, then small files until not even metadata has room. */
function fillUp(dir: string): void {
  const large = `for bs in 1M 64K 4K; do dd if=/dev/urandom of=${dir}/fill-$bs bs=$bs 2>&1; done; sync -f ${dir}`;
  const small = `i=0; while [ $i -lt 20000 ] && head -c 1500 "$0" > ${dir}/fill-$i; do i=$((i+1)); done 2>&1`;
  sh(
    'sh',
    '-c',
    `${large}; head -c 1500 /dev/urandom > /dev/shm/few-$$; sh -c '${small}' /dev/shm/few-$$; rm /dev/shm/few-$$; sync -f ${dir}`,
  );
}

test('F42 Snapshot, BuildCacheClaim: a full volume says OutOfSpace and what to do, and goes on when there is room', async () => {
  const snapshots = snapshotKit(lab);
  const caches = cacheKit(lab);
  await lab.createVolume('full', { size: '256Mi' });
  const data = dataPathOf(await lab.ready('full'));
  await caches.createCache('cache', 'full', { minFreePercent: 0 });
  fillUp(data);
  await snapshots.create('beside', 'full');
  const snapshot = await snapshots.withReason('beside', 'Ready', 'OutOfSpace', 20_000);
  await caches.createClaim('job', 'cache');
  const claim = await caches.claimThat(
    'job',
    ({ status }) => findCondition(status.conditions, 'Ready')?.reason === 'OutOfSpace',
  );
  for (const { status } of [snapshot, claim]) {
    expect(findCondition(status.conditions, 'Ready')?.message).toMatch(
      /^could not .*: the volume is full; raise its spec.size, or delete data or Snapshots that are in it$/,
    );
  }
  sh('sh', '-c', `rm -rf ${data}/fill-*; sync -f ${data}`);
  await snapshots.ready('beside', 40_000);
}, 120_000);
