import { beforeEach, describe, expect, test } from 'vitest';
import { createLeaseObserver, type LeaseObserver } from '../../../src/kube/lease.ts';
import type { Lease, LeaseSpec } from '../../../src/kube/resource-types.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

let clock: ManualClock;
let observer: LeaseObserver;

beforeEach(() => {
  clock = new ManualClock();
  observer = createLeaseObserver({ clock });
});

function lease(spec: LeaseSpec, resourceVersion = '1'): Lease {
  const metadata = { name: 'a', namespace: 'ns', uid: 'u', resourceVersion };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
}

const renewed = (renewTime: string, leaseDurationSeconds = 40) =>
  lease({ holderIdentity: 'a', renewTime, leaseDurationSeconds });
const old = renewed('2001-01-01T00:00:00.000000Z');

describe('LeaseObserver', () => {
  test('what was never observed is unknown', () => {
    expect(observer.stateOf('ns/a')).toBe('unknown');
    expect(observer.remainingMs('ns/a')).toBeUndefined();
  });

  test('a lease expires only after it was seen unchanged for its duration, however old its renewTime', async () => {
    observer.observe('ns/a', old);
    await clock.advance(39_999);
    observer.observe('ns/a', old);
    expect(observer.stateOf('ns/a')).toBe('live');
    expect(observer.remainingMs('ns/a')).toBe(1);
    await clock.advance(1);
    expect(observer.stateOf('ns/a')).toBe('expired');
    expect(observer.remainingMs('ns/a')).toBe(0);
  });

  test('a renewal starts the time anew, also by a clock that goes wrong', async () => {
    observer.observe('ns/a', old);
    await clock.advance(39_000);
    observer.observe('ns/a', renewed('1999-01-01T00:00:00.000000Z'));
    await clock.advance(39_000);
    expect(observer.stateOf('ns/a')).toBe('live');
  });

  test('a change of the metadata alone is no renewal', async () => {
    observer.observe('ns/a', old);
    await clock.advance(39_000);
    observer.observe('ns/a', { ...old, metadata: { ...old.metadata, resourceVersion: '2' } });
    await clock.advance(1_000);
    expect(observer.stateOf('ns/a')).toBe('expired');
  });

  test("the lease's own duration counts", async () => {
    observer.observe('ns/a', renewed('x', 5));
    await clock.advance(5_000);
    expect(observer.stateOf('ns/a')).toBe('expired');
  });

  test('a lease that is not there, or was deleted, expires after the default duration', async () => {
    observer.observe('ns/a', old);
    await clock.advance(30_000);
    observer.observe('ns/a', undefined);
    await clock.advance(39_999);
    observer.observe('ns/a', undefined);
    expect(observer.stateOf('ns/a')).toBe('live');
    await clock.advance(1);
    expect(observer.stateOf('ns/a')).toBe('expired');
  });

  test('restart gives every lease its time anew, forget makes it unknown', async () => {
    observer.observe('ns/a', old);
    await clock.advance(40_000);
    observer.restart();
    expect(observer.remainingMs('ns/a')).toBe(40_000);
    observer.forget('ns/a');
    expect(observer.stateOf('ns/a')).toBe('unknown');
  });
});
