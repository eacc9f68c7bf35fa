import { describe, expect, it } from 'vitest';
import { expiresAt, followCache } from '../../../src/controller/claims/kind.ts';
import type { Cluster } from '../../../src/controller/cluster.ts';
import { followVolume } from '../../../src/controller/objects/follow.ts';
import { keyOf } from '../../../src/kube/object.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { condition, volumeOf } from '../../builders/objects.ts';
import { snapshotOf } from '../../builders/snapshots.ts';

const deletionTimestamp = '2026-01-01T00:00:00Z';
const onNode = { nodeName: 'node-a' };

const volumes = (...list: ReturnType<typeof volumeOf>[]) =>
  ({ volumes: { get: (key: string) => list.find((volume) => keyOf(volume) === key) } }) as Pick<Cluster, 'volumes'>;
const caches = (...list: ReturnType<typeof cacheOf>[]) =>
  ({ caches: { get: (key: string) => list.find((cache) => keyOf(cache) === key) } }) as Pick<Cluster, 'caches'>;

describe('followVolume', () => {
  it('is the node of the volume, for a Snapshot and a BuildCache', () => {
    const cluster = volumes(volumeOf({ status: onNode }));
    expect(followVolume(cluster, snapshotOf())).toEqual({ kind: 'node', nodeName: 'node-a' });
    expect(followVolume(cluster, cacheOf())).toEqual({ kind: 'node', nodeName: 'node-a' });
  });

  const notFound =
    'there is no LoopbackVolume "vol" in namespace ns; make it, or make the BuildCache anew with another spec.volumeRef';
  it.each([
    ['VolumeNotFound', 'there is none', [], notFound],
    [
      'VolumeNotFound',
      'it is in another namespace',
      [volumeOf({ metadata: { namespace: 'other' }, status: onNode })],
      notFound,
    ],
    [
      'VolumeNotFound',
      'it is being deleted',
      [volumeOf({ metadata: { deletionTimestamp }, status: onNode })],
      'LoopbackVolume "vol" is being deleted; nothing is made in it any more',
    ],
    [
      'VolumeNotPlaced',
      'it has no node',
      [volumeOf()],
      'LoopbackVolume "vol" has no node yet; see its condition Scheduled',
    ],
  ])('is %s if %s', (reason, _, list, message) => {
    expect(followVolume(volumes(...list), cacheOf())).toEqual({ kind: 'none', reason, message });
  });
});

describe('followCache', () => {
  it('is the node of the cache', () => {
    expect(followCache(caches(cacheOf({ status: onNode })), claimOf())).toEqual({ kind: 'node', nodeName: 'node-a' });
  });

  it.each([
    [
      'CacheNotFound',
      'there is none',
      [cacheOf({ metadata: { name: 'other' }, status: onNode })],
      'there is no BuildCache "cache" in namespace ns; make it, or make the BuildCacheClaim anew with another spec.cacheRef',
    ],
    [
      'CacheNotFound',
      'it is being deleted',
      [cacheOf({ metadata: { deletionTimestamp }, status: onNode })],
      'BuildCache "cache" is being deleted; no clone is made of it any more',
    ],
    [
      'CacheNotPlaced',
      'it has no node',
      [cacheOf()],
      'BuildCache "cache" has no node yet; see its condition Scheduled',
    ],
  ])('is %s if %s', (reason, _, list, message) => {
    expect(followCache(caches(...list), claimOf())).toEqual({ kind: 'none', reason, message });
  });
});

describe('expiresAt', () => {
  const released = (status: 'True' | 'False' | 'Unknown', lastTransitionTime = '2026-02-02T03:04:05Z') => ({
    conditions: [condition('Ready', 'True'), condition('Released', status, { lastTransitionTime })],
  });

  it('is ttlSecondsAfterReleased after the release was judged, 300 by default', () => {
    const status = released('True');
    const endedOf = (spec: Record<string, unknown> = {}) => claimOf({ status, spec: { release: 'Publish', ...spec } });
    expect(expiresAt(endedOf())).toEqual(new Date('2026-02-02T03:09:05Z'));
    expect(expiresAt(endedOf({ ttlSecondsAfterReleased: 0 }))).toEqual(new Date('2026-02-02T03:04:05Z'));
    expect(expiresAt(endedOf({ ttlSecondsAfterReleased: 31_622_400 }))).toEqual(new Date('2027-02-03T03:04:05Z'));
  });

  it('is never, as long as the release was asked for only, or not', () => {
    for (const spec of [{}, { release: 'Publish' }]) expect(expiresAt(claimOf({ spec }))).toBeUndefined();
    for (const status of ['False', 'Unknown'] as const)
      expect(expiresAt(claimOf({ status: released(status) }))).toBeUndefined();
  });

  it('F43 is never, as long as nobody has released it, whatever status says', () => {
    expect(expiresAt(claimOf({ status: { ...released('True'), outcome: 'Discarded' } }))).toBeUndefined();
  });

  it('is never for a time that is none', () => {
    expect(expiresAt(claimOf({ status: released('True', 'soon') }))).toBeUndefined();
  });
});
