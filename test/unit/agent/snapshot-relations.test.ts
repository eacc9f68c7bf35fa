import { describe, expect, it } from 'vitest';
import { childrenOf, lineageOf, snapshotsIn } from '../../../src/agent/snapshots/relations.ts';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { volumeOf } from '../../builders/objects.ts';
import { cacheOf, childOf, snapshotOf } from '../../builders/snapshots.ts';

const named = (name: string, namespace = 'ns') => ({ metadata: { name, namespace } });
const namesOf = (snapshots: readonly Snapshot[]) => snapshots.map(({ metadata }) => metadata.name);
const parent = snapshotOf(named('parent'));

describe('childrenOf', () => {
  it('D12 childrenOf: names in order, of this Snapshot, of this namespace', () => {
    const cache = cacheOf(
      parent,
      childOf('parent', named('b')),
      childOf('parent', named('a')),
      childOf('b', named('grandchild')),
      childOf('parent', named('elsewhere', 'other')),
      snapshotOf(named('unrelated')),
    );
    expect(namesOf(childrenOf(parent, cache))).toEqual(['a', 'b']);
  });

  it('D12 childrenOf: one in another volume counts until it has received its content', () => {
    const there = { spec: { volumeRef: { name: 'there' } } };
    const waits = snapshotOf({
      ...named('waits'),
      spec: { volumeRef: { name: 'there' }, source: { snapshotRef: { name: 'parent' } } },
    });
    const cache = cacheOf(parent, waits, childOf('parent', { ...named('has'), spec: { ...there.spec } }));
    expect(namesOf(childrenOf(parent, cache))).toEqual(['waits']);
  });
});

describe('lineageOf', () => {
  it('lineageOf: uids of each child and its parent, as far as both are known', () => {
    const cache = cacheOf(parent, childOf('parent', named('child')), childOf('gone', named('orphan')));
    expect(lineageOf(cache)).toEqual([['uid-child', 'uid-parent']]);
  });
});

describe('snapshotsIn', () => {
  it('C23 snapshotsIn: those of the volume of this name in its namespace', () => {
    const volume = volumeOf({ metadata: { namespace: 'ns', name: 'vol' } });
    const cache = cacheOf(
      parent,
      snapshotOf({ ...named('other'), spec: { volumeRef: { name: 'other' } } }),
      snapshotOf(named('elsewhere', 'other')),
    );
    expect(namesOf(snapshotsIn(volume, cache))).toEqual(['parent']);
  });
});
