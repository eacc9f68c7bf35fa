import { expect, test } from 'vitest';
import { type Circumstances, createVainTries } from '../../../src/agent/vain-tries.ts';
import { StorageError, type StorageErrorCode } from '../../../src/storage/errors.ts';

const MINUTE_MS = 60_000;

function world() {
  let atMs = 0;
  let now: Circumstances = { given: 1, room: { freeBytes: 100, stepBytes: 10 }, parents: ['a'] };
  let tries = 0;
  const vain = createVainTries({ monotonicMs: () => atMs });
  const look = () => Promise.resolve(now);
  return {
    vain,
    pass(ms: number) {
      atMs += ms;
    },
    change(parts: Partial<Circumstances>) {
      now = { ...now, ...parts };
    },
    tries: () => tries,
    /** One pass over the object, as the reconcilers do it. */
    async try(code: StorageErrorCode | undefined, reason = 'OutOfSpace') {
      if ((await vain.refusal('u', look)) !== undefined) return;
      const work = () => {
        tries++;
        return code === undefined ? Promise.resolve() : Promise.reject(new StorageError(code, 'no', { reason }));
      };
      await vain.run('u', look, work).catch(() => undefined);
    },
  };
}

test.each([
  ['out-of-space', 'OutOfSpace', { given: 2 }],
  ['out-of-space', 'OutOfSpace', { room: { freeBytes: 110, stepBytes: 10 } }],
  ['refused', 'DownloadRefused', { given: 2 }],
  ['damaged', 'StreamRefused', { given: 2 }],
  ['not-ready', 'ParentMissing', { parents: ['a', 'b'] }],
] as const)(
  'F9 VainTries: %s (%s) is tried again when what it depended on changed, %j',
  async (code, reason, change) => {
    const { change: alter, tries, ...on } = world();
    await on.try(code, reason);
    for (let pass = 0; pass < 3; pass++) await on.try(code, reason);
    expect(tries()).toBe(1);
    alter(change);
    await on.try(code, reason);
    expect(tries()).toBe(2);
  },
);

test.each([
  ['out-of-space', 'OutOfSpace', { room: { freeBytes: 109, stepBytes: 10 } }],
  ['out-of-space', 'OutOfSpace', { parents: ['a', 'b'] }],
  ['refused', 'StreamRefused', { room: { freeBytes: 200, stepBytes: 10 } }],
  ['not-ready', 'ParentMissing', { room: { freeBytes: 200, stepBytes: 10 } }],
] as const)('F9 VainTries: %s (%s) is not tried again for %j', async (code, reason, change) => {
  const on = world();
  await on.try(code, reason);
  on.change(change);
  await on.try(code, reason);
  expect(on.tries()).toBe(1);
});

test('F9 VainTries: without a change the pauses grow to an hour, and begin anew after a change', async () => {
  const on = world();
  const within = async (minutes: number) => {
    const before = on.tries();
    for (let minute = 0; minute < minutes; minute++) {
      on.pass(MINUTE_MS);
      await on.try('refused');
    }
    return on.tries() - before;
  };
  await on.try('refused');
  expect(await within(60)).toBeLessThanOrEqual(7);
  await within(120);
  expect(await within(24 * 60)).toBeLessThanOrEqual(31);
  expect(await within(2 * 60)).toBeGreaterThanOrEqual(1);
  on.change({ given: 2 });
  await on.try('refused');
  expect(await within(1)).toBe(1);
});

test.each([
  ['failed', 'TransferFailed'],
  ['not-ready', 'SourceNotReady'],
  ['out-of-space', 'HostPressure'],
  [undefined, 'none'],
] as const)('F9 VainTries: %s (%s) leaves nothing behind', async (code, reason) => {
  const on = world();
  await on.try(code, reason);
  await on.try(code, reason);
  expect(on.tries()).toBe(2);
});

test('F9 VainTries: room that the last try itself gave back is none that was made since', async () => {
  const on = world();
  await on.try('out-of-space');
  on.pass(2 * MINUTE_MS);
  on.change({ room: { freeBytes: 20, stepBytes: 10 } });
  await on.try('out-of-space');
  on.change({ room: { freeBytes: 100, stepBytes: 10 } });
  await on.try('out-of-space');
  expect(on.tries()).toBe(2);
});
