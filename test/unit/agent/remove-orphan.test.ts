import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/agent/judge.ts';
import { createOrphanRequests } from '../../../src/agent/node/orphan-requests.ts';
import { createNodeReconcile, type NodeReconcilerOptions } from '../../../src/agent/node/reconcile.ts';
import {
  createOrphanReconcile,
  type OrphanReconcilerOptions,
  type Owner,
} from '../../../src/agent/node/remove-orphan.ts';
import type { BtrfsNode } from '../../../src/api/btrfs-node.ts';
import { REMOVE_ORPHANS } from '../../../src/api/group.ts';
import type { ListOptions } from '../../../src/kube/resource-client.ts';
import { createBackoff } from '../../../src/runtime/backoff.ts';
import { type Reconciler, startReconciler } from '../../../src/runtime/reconciler.ts';
import type { Storage } from '../../../src/storage/context.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import { layoutOf } from '../../../src/storage/layout.ts';
import type { OrphanData } from '../../../src/storage/volumes/orphans.ts';
import { btrfsNodeOf } from '../../builders/objects.ts';
import { ManualClock, settle } from '../../fakes/manual-clock.ts';

/** Of what has this name: the uids of these tests are told apart by it. */
const uidOf = (name: string) =>
  `${Buffer.from(name).toString('hex').padEnd(8, '0').slice(0, 8)}-0000-4000-8000-000000000000`;
const volume = (name: string): OrphanData => ({
  uid: uidOf(name),
  kind: 'LoopbackVolume',
  namespace: 'ns',
  name,
});
const clone = (name: string, inVolume: string): OrphanData => ({
  uid: uidOf(name),
  kind: 'BuildCacheClaim',
  namespace: 'ns',
  name,
  volume: inVolume,
});
const asking = (...names: readonly string[]) =>
  btrfsNodeOf({}, { annotations: { [REMOVE_ORPHANS]: names.map(uidOf).join() } });
const owner = (name: string, spec: Owner['spec'], ownerUid = 'uid-x'): Owner => ({
  apiVersion: 'btrfs-operator.io/v1alpha1',
  kind: 'any',
  metadata: { namespace: 'ns', name, uid: ownerUid, resourceVersion: '1' },
  spec,
});
const clientOf = (objects: readonly Owner[]) => ({
  list: async ({ namespace }: ListOptions = {}) =>
    objects.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace),
});

interface World {
  readonly orphans: readonly OrphanData[];
  readonly volumes?: readonly Owner[];
  readonly snapshots?: readonly Owner[];
  /** Uids of objects of which there is unfinished work, with the volumes that it is in. */
  readonly unfinished?: OrphanReconcilerOptions['orphans']['unfinished'];
  readonly podsUsing?: OrphanReconcilerOptions['podsUsing'];
  /** What a removal of this volume, or of what is in it, comes to. */
  readonly remove?: (volumeName: string, signal?: AbortSignal) => Promise<string>;
}

/** The loop over orphans as the agent starts it, on a node where nothing is real. */
function startIn(world: World) {
  const { orphans, volumes = [], snapshots = [], podsUsing, remove = async () => 'removed' } = world;
  const [events, looks, clock]: [string[], string[], ManualClock] = [[], [], new ManualClock()];
  const listed = [...orphans];
  const unfinished = world.unfinished ?? (() => new Map());
  const nameOf = (volumeUid: string) => Buffer.from(volumeUid.slice(0, 8), 'hex').toString().replaceAll('\0', '');
  const requests = createOrphanRequests((each) => reconciler.enqueue(each));
  const reconcile = createOrphanReconcile({
    storage: {
      layout: layoutOf('/nowhere'),
      withTree: (volumeUid: string) => remove(nameOf(volumeUid)),
      withVolume: (volumeUid: string, signal: AbortSignal) => remove(nameOf(volumeUid), signal),
    } as Partial<Storage> as Storage,
    events: {
      record: (...[, , reason, , note]) => void events.push(`${reason} ${note}`),
      flush: async () => undefined,
    },
    podsUsing: podsUsing ?? (async () => []),
    clients: {
      LoopbackVolume: clientOf(volumes),
      Snapshot: clientOf(snapshots),
      BuildCache: clientOf([]),
      BuildCacheClaim: clientOf([]),
    },
    orphans: {
      found: async () => listed,
      volumeOf: (orphan) => (orphan.volume === undefined ? undefined : uidOf(orphan.volume)),
      unfinished,
      look: (volumeUid = '') => void looks.push(nameOf(volumeUid)),
    },
    requests,
    wake: (each) => reconciler.enqueue(each),
  });
  const reconciler: Reconciler = startReconciler({
    name: 'orphan',
    concurrency: 16,
    reconcile,
    judge,
    log: pino({ level: 'silent' }),
    clock,
    backoff: createBackoff({ random: () => 0 }),
  });
  const read = async (btrfsNode: BtrfsNode) => {
    requests.read(btrfsNode, listed, unfinished().keys());
    await settle();
  };
  return { events, looks, clock, listed, read, reconciler };
}

describe('createOrphanReconcile: who keeps a volume', () => {
  const inside = owner('inside', { volumeRef: { name: 'vol' } });
  it.each([
    ['an object of its uid', [owner('vol', {}, uidOf('vol'))], [], 'it is what LoopbackVolume ns/vol has'],
    ['one that adopts it', [owner('vol', { source: { adopt: { uid: uidOf('vol') } } })], [], 'ns/vol adopts it'],
    ['a Snapshot in a volume of its name', [], [inside], 'ns/inside is in a volume of its name'],
    ['not one in another volume of that name, which is there', [owner('vol', {})], [inside], 'pods have it mounted'],
    [
      'not one in a volume of another name',
      [],
      [owner('inside', { volumeRef: { name: 'x' } })],
      'pods have it mounted',
    ],
  ])('C8 createOrphanReconcile: %s', async (_, volumes, snapshots, why) => {
    // Pods come after all that is asked of objects.
    const podsUsing = async () => ['ns/pod'];
    const { events, read } = startIn({ orphans: [volume('vol')], volumes, snapshots, podsUsing });
    await read(asking('vol'));
    expect(events).toEqual([
      expect.stringMatching(/^OrphanKept LoopbackVolume ns\/vol \(.*\) is not removed: /) as string,
    ]);
    expect(events[0]).toContain(why);
  });
});

describe('createOrphanReconcile: unfinished work', () => {
  it.each([
    ['of nobody goes, without being asked for', [], [], ['vol', 'a']],
    ['of an object that was made meanwhile stays', [], [owner('a', {}, uidOf('a'))], []],
    ['of a volume that was made meanwhile stays', [owner('a', {}, uidOf('a'))], [], []],
    ['for which there is an object of the name alone goes', [], [owner('a', {})], ['vol', 'a']],
  ])('F16 createOrphanReconcile: that %s', async (_, volumes, snapshots, expected) => {
    const worked: string[] = [];
    const { events, read } = startIn({
      orphans: [],
      volumes,
      snapshots,
      unfinished: () => new Map([[uidOf('a'), [uidOf('vol')]]]),
      remove: async (place) => {
        worked.push(place);
        return 'removed';
      },
    });
    await read(asking());
    expect([worked, events]).toEqual([expected, []]);
  });
});

describe('createOrphanReconcile: many', () => {
  it('C8 createOrphanReconcile: one that hangs and one that fails hold up no other, and the node hears of what is gone', async () => {
    const hanging = Promise.withResolvers<string>();
    const removals: Record<string, () => Promise<string>> = {
      hang: () => hanging.promise,
      fail: () => Promise.reject(new StorageError('failed', 'it broke')),
    };
    const { events, looks, read } = startIn({
      orphans: [clone('a', 'hang'), clone('b', 'fail'), clone('c', 'work'), volume('d')],
      remove: (volumeName) => removals[volumeName]?.() ?? Promise.resolve('removed'),
    });
    await read(asking('a', 'b', 'c', 'd'));
    await expect.poll(() => looks.toSorted()).toEqual(['d', 'work']);
    expect(events.toSorted()).toEqual([
      `OrphanKept BuildCacheClaim ns/b (${uidOf('b')}) is not removed: it broke`,
      `OrphanRemoved BuildCacheClaim ns/c (${uidOf('c')}) is removed for good`,
      `OrphanRemoved LoopbackVolume ns/d (${uidOf('d')}) is removed for good`,
    ]);
    hanging.resolve('removed');
    await expect.poll(() => looks).toContain('hang');
  });

  it('C8 createOrphanReconcile: what fails is tried again in growing pauses, however often the node is looked at', async () => {
    let tries = 0;
    const { clock, read } = startIn({
      orphans: [clone('a', 'vol')],
      remove: () => {
        tries++;
        return Promise.reject(new StorageError('timeout', 'it hangs'));
      },
    });
    await read(asking('a'));
    for (const [afterMs, expected] of [
      [199, 1],
      [1, 2],
      [399, 2],
      [1, 3],
    ] as const) {
      await clock.advance(afterMs);
      await read(asking('a'));
      expect(tries).toBe(expected);
    }
    // Somebody who writes the annotation anew wants it tried now.
    await read(asking('a', 'again'));
    expect(tries).toBe(4);
  });

  it('C8 createOrphanReconcile: what lies in a volume goes before it, and does not keep it when it can not go', async () => {
    const gates = [Promise.withResolvers<string>(), Promise.withResolvers<string>()] as const;
    const calls: string[] = [];
    const { read } = startIn({
      orphans: [volume('vol'), clone('a', 'vol'), clone('b', 'vol')],
      remove: (volumeName) => {
        calls.push(volumeName);
        return gates[calls.length - 1]?.promise ?? Promise.resolve('removed');
      },
    });
    await read(asking('vol', 'a', 'b'));
    await expect.poll(() => calls).toHaveLength(2);
    gates[0].reject(new StorageError('in-use', 'pods have it mounted'));
    await settle();
    expect(calls).toHaveLength(2);
    gates[1].reject(new StorageError('in-use', 'pods have it mounted'));
    await expect.poll(() => calls).toHaveLength(3);
  });

  it('C8 createOrphanReconcile: what is no longer named, or no longer there, is not tried again', async () => {
    let tries = 0;
    const { clock, listed, read } = startIn({
      orphans: [clone('a', 'vol'), clone('b', 'vol')],
      remove: () => {
        tries++;
        return Promise.reject(new StorageError('in-use', 'pods have it mounted'));
      },
    });
    await read(asking('a', 'b'));
    expect(tries).toBe(2);
    await read(asking('b'));
    listed.pop();
    const before = tries;
    await clock.advance(24 * 60 * 60_000);
    expect(tries).toBe(before);
  });
});

describe('createOrphanReconcile: what is told', () => {
  it('C8 createOrphanReconcile: of what was gone already nothing', async () => {
    const { events, looks, read } = startIn({ orphans: [clone('a', 'vol')], remove: async () => 'was gone already' });
    await read(asking('a'));
    expect([events, looks]).toEqual([[], ['vol']]);
  });

  it('C8 createOrphanReconcile: it is removed, also when the attempt that did it was told to have failed', async () => {
    let tries = 0;
    const { clock, events, read } = startIn({
      orphans: [clone('a', 'vol')],
      remove: async () => {
        if (tries++ === 0) throw new StorageError('timeout', 'it hangs');
        return 'was gone already';
      },
    });
    await read(asking('a'));
    await clock.advance(200);
    expect(events.map((event) => event.split(' ')[0])).toEqual(['OrphanKept', 'OrphanRemoved']);
  });

  it('C17 createOrphanReconcile: a stop ends what runs, and nothing is told', async () => {
    const begun = Promise.withResolvers<void>();
    const { clock, events, read, reconciler } = startIn({
      orphans: [volume('vol')],
      remove: (_, signal) =>
        new Promise((_resolve, reject) => {
          begun.resolve();
          signal?.addEventListener('abort', () => reject(new StorageError('aborted', 'stopped')));
        }),
    });
    await read(asking('vol'));
    await begun.promise;
    const stopped = reconciler.stop(1_000);
    await clock.advance(1_000);
    await stopped;
    expect(events).toEqual([]);
  });
});

describe('createNodeReconcile', () => {
  it('C8 createNodeReconcile: says what the node offers, and leaves what the annotation asks for to others', async () => {
    const orphan = volume('vol');
    const [written, read]: [unknown[], unknown[]] = [[], []];
    const btrfsNode = asking('vol');
    const reconcile = createNodeReconcile({
      cached: () => btrfsNode,
      writer: {
        freshest: (node) => node,
        actedOn: (node) => node,
        write: async (_, status) => void written.push(status),
        writeAnew: async (_, status) => void written.push(status),
        forget: () => undefined,
        ownedPart: ({ status }) => status,
      },
      clock: new ManualClock(),
      facts: async () => ({
        platform: { kernel: '6.1.0', btrfsProgs: '6.2', hasBtrfs: true },
        space: { totalBytes: 100, freeBytes: 50 },
        allocatableBytes: 10,
        committedBytes: 0,
        exportedBytes: 0,
        pressure: undefined,
        transferEndpoint: undefined,
        orphans: [orphan],
      }),
      onWritten: (...said) => void read.push(said),
    } as Partial<NodeReconcilerOptions> as NodeReconcilerOptions);
    await reconcile();
    expect(written).toMatchObject([{ hostFreeBytes: 50, orphans: [{ uid: orphan.uid }] }]);
    expect(read).toEqual([[btrfsNode, [orphan]]]);
  });
});
