import { describe, expect, test } from 'vitest';
import { createLongPlaces, volumeKeyOfClaim } from '../../../src/agent/passes.ts';
import type { Action } from '../../../src/agent/volumes/decide.ts';
import { isLong, servedBy } from '../../../src/agent/volumes/long.ts';
import { wishOf } from '../../../src/agent/volumes/wish.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { type VolumeParts, volumeOf } from '../../builders/objects.ts';

const MiB = 2 ** 20;
const tree = { filesystemSizeBytes: 512 * MiB } as Parameters<typeof isLong>[1]['tree'];
const minimize: Action = { kind: 'minimize', headroomBytes: 0, request: '0 of 1' };

describe('isLong', () => {
  test.each<[string, Action, boolean]>([
    ['to make an image', { kind: 'create' }, false],
    ['to mount', { kind: 'bring-up' }, false],
    ['to heal', { kind: 'heal' }, false],
    ['to grow', { kind: 'resize', targetBytes: 600 * MiB }, false],
    ['to shrink', { kind: 'resize', targetBytes: 300 * MiB }, true],
    ['to minimize', minimize, true],
    ['to fill', { kind: 'fill' }, true],
    ['to export', { kind: 'export', file: 'a' }, true],
  ])('F12 %s: %#', (_, action, expected) => {
    expect(isLong(action, { tree })).toBe(expected);
  });
});

describe('servedBy: what breaks long work off', () => {
  const spec = { size: '1Gi', mounted: true, minimize: { headroom: '96Mi' } };
  const changes: Readonly<Record<string, VolumeParts['spec']>> = {
    label: { label: 'x' },
    owner: { owner: { uid: 7, gid: 7, mode: '0700' } },
    compression: { compression: 'lzo' },
    size: { size: '2Gi' },
    mounted: { mounted: false },
    minimize: { minimize: { headroom: '1Gi' } },
    export: { export: { file: 'a' } },
  };
  test.each<[string, Action, string[]]>([
    ['a fill', { kind: 'fill' }, []],
    ['an export', { kind: 'export', file: 'b' }, ['mounted', 'export']],
    ['minimizing', minimize, ['size', 'mounted', 'minimize']],
    ['shrinking', { kind: 'resize', targetBytes: 300 * MiB }, ['size', 'mounted', 'minimize']],
  ])('F23 %s is begun anew for a change of what it serves only', (_, action, expected) => {
    const before = JSON.stringify(servedBy(action, wishOf(volumeOf({ spec }))));
    const ending = Object.entries(changes).filter(
      ([, change]) => JSON.stringify(servedBy(action, wishOf(volumeOf({ spec: { ...spec, ...change } })))) !== before,
    );
    expect(ending.map(([name]) => name)).toEqual(expected);
  });
});

test('F12 createLongPlaces: neither a namespace nor a volume gets all of them', () => {
  const places = createLongPlaces(8);
  const most = (occupantAt: (i: number) => Parameters<typeof places.take>[0]) => {
    const taken = Array.from({ length: 20 }, (_, i) => places.take(occupantAt(i))).filter(
      (place) => place !== undefined,
    );
    for (const place of taken) place[Symbol.dispose]();
    return taken.length;
  };
  expect(most((i) => ({ namespace: `ns-${i}`, within: `vol-${i}` }))).toBe(8);
  expect(most((i) => ({ namespace: 'ns', within: `vol-${i}` }))).toBe(6);
  expect(most(() => ({ namespace: 'ns', within: 'vol' }))).toBe(2);
});

test('F40 volumeKeyOfClaim: a claim is counted within the volume of its cache, and as itself without one', () => {
  const [cache, claim] = [cacheOf(), claimOf()];
  const held = <T>(objects: Readonly<Record<string, T>>) => ({
    get: (key: string) => objects[key],
    values: () => Object.values(objects),
  });
  const cacheKey = `${claim.metadata.namespace}/${claim.spec.cacheRef.name}`;
  const claims = held({ 'ns/claim': claim });
  const volumeKey = `${cache.metadata.namespace}/${cache.spec.volumeRef.name}`;
  expect(volumeKeyOfClaim({ claims, buildCaches: held({ [cacheKey]: cache }) })('ns/claim')).toBe(volumeKey);
  expect(volumeKeyOfClaim({ claims, buildCaches: held({}) })('ns/claim')).toBe(cacheKey);
  expect(volumeKeyOfClaim({ claims, buildCaches: held({}) })('ns/unknown')).toBe('ns/unknown');
});
