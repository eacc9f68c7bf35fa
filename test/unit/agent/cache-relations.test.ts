import { describe, expect, it } from 'vitest';
import { cachesIn, claimsOf, holdsClone, isActive, lostClaims } from '../../../src/agent/build-caches/relations.ts';
import type { KubeObject } from '../../../src/kube/object.ts';
import { keyOf } from '../../../src/kube/object.ts';
import { cacheOf, claimOf } from '../../builders/build-caches.ts';
import { condition, volumeOf } from '../../builders/objects.ts';

function cached<T extends KubeObject>(...objects: readonly T[]) {
  const byKey = new Map(objects.map((object) => [keyOf(object), object]));
  return { get: (key: string) => byKey.get(key), values: () => byKey.values() };
}
const named = (name: string, namespace = 'ns') => ({ metadata: { name, namespace } });
const namesOf = (objects: readonly KubeObject[]) =>
  objects.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);

const caches = cached(
  cacheOf(named('cache')),
  cacheOf({ ...named('elsewhere'), spec: { volumeRef: { name: 'other' } } }),
  cacheOf(named('cache', 'other')),
);
const claims = cached(
  claimOf(named('mine')),
  claimOf({ ...named('lost'), spec: { cacheRef: { name: 'gone' } } }),
  claimOf({ ...named('of-elsewhere'), spec: { cacheRef: { name: 'elsewhere' } } }),
  claimOf(named('mine', 'other')),
  claimOf({ ...named('lost', 'third'), spec: { cacheRef: { name: 'gone' } } }),
);

describe('relations of caches', () => {
  it('C23 cachesIn: those of the volume of this name in its namespace', () => {
    expect(namesOf(cachesIn(volumeOf(), caches))).toEqual(['ns/cache']);
  });

  it('C23 claimsOf: those of the cache of this name in its namespace', () => {
    expect(namesOf(claimsOf(cacheOf(named('cache')), claims))).toEqual(['ns/mine']);
  });

  it('lostClaims: those of this namespace whose cache is gone', () => {
    expect(namesOf(lostClaims(volumeOf(), { claims, buildCaches: caches }))).toEqual(['ns/lost']);
  });
});

describe('isActive and holdsClone', () => {
  const inUse = { conditions: [condition('InUse', 'True')] };
  const rows: readonly (readonly [string, Parameters<typeof claimOf>[0], boolean, boolean])[] = [
    ['no clone yet', {}, false, false],
    ['at work', { status: { baseGeneration: 1 } }, true, true],
    ['released, not judged yet', { status: { baseGeneration: 1 }, spec: { release: 'Publish' } }, true, true],
    ['judged', { status: { baseGeneration: 1, outcome: 'Published' } }, false, false],
    ['judged, still mounted', { status: { baseGeneration: 1, outcome: 'Published', ...inUse } }, false, true],
  ];
  it.each(rows)('%s', (_, parts, active, holds) => {
    expect([isActive(claimOf(parts)), holdsClone(claimOf(parts))]).toEqual([active, holds]);
  });
});
