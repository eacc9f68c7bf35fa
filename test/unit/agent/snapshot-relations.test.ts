import { describe, expect, it } from 'vitest';
import { childrenOf, lineageOf, snapshotsIn } from '../../../src/agent/snapshots/relations.ts';
import { snapshotRemoval } from '../../../src/agent/snapshots/removal.ts';
import type { Snapshot } from '../../../src/api/snapshot.ts';
import { cacheOf as buildCacheOf } from '../../builders/build-caches.ts';
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

describe('snapshotRemoval', () => {
  const source = { snapshotRef: { name: 'parent' } };
  const going = { deletionTimestamp: '2026-01-01T00:00:00Z' };
  const seed = (name: string) => ({ spec: { volumeRef: { name: 'far' }, seed: { snapshotRef: { name } } } });
  const far = { nodeName: 'node-b' };

  it('F11 Snapshot: it waits for what is made of it on any node, and counts it', async () => {
    const elsewhere = { volumeRef: { name: 'far' }, source };
    const server = {
      snapshots: [
        parent,
        snapshotOf({ ...named('waits'), spec: elsewhere, status: far }),
        snapshotOf({ ...named('has'), spec: elsewhere, status: { ...far, uuid: 'u' } }),
      ],
      volumes: [
        volumeOf({ ...named('coming'), spec: { source }, status: far }),
        volumeOf({ ...named('placeless'), spec: { source } }),
        volumeOf({ ...named('filled'), spec: { source }, status: { ...far, import: { phase: 'Done' } } }),
        volumeOf({ metadata: { ...named('given-up').metadata, ...going }, spec: { source } }),
        volumeOf({ ...named('other'), spec: { source: { snapshotRef: { name: 'other' } } } }),
      ],
      caches: [
        buildCacheOf({ ...named('seeded'), ...seed('parent') }),
        buildCacheOf({ ...named('made'), ...seed('parent'), status: { currentGeneration: 1 } }),
        buildCacheOf({ ...named('unrelated'), ...seed('other') }),
      ],
    };
    const asked: unknown[] = [];
    const listed = (objects: readonly unknown[]) => ({
      list: async (how: unknown) => {
        asked.push(how);
        return [...objects];
      },
    });
    const removal = snapshotRemoval({
      client: listed(server.snapshots),
      volumeClient: listed(server.volumes),
      cacheClient: listed(server.caches),
    } as never);
    expect(await removal.blockers(parent)).toMatchObject({
      reason: 'HasChildren',
      message: expect.stringMatching(/: waits, LoopbackVolume coming, LoopbackVolume placeless, BuildCache seeded$/),
      mendedBy: 'person',
    });
    expect(removal.figures(parent, undefined).childCount).toBe(4);
    expect(asked).toEqual(Array(3).fill({ namespace: 'ns' }));
  });

  it('F11 Snapshot: nothing that is made of it holds it up once it is made', async () => {
    const none = { list: async () => [] };
    const removal = snapshotRemoval({ client: none, volumeClient: none, cacheClient: none } as never);
    expect(await removal.blockers(parent)).toBeUndefined();
    expect(removal.figures(parent, undefined).childCount).toBe(0);
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
