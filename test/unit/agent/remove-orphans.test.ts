import { describe, expect, it } from 'vitest';
import { createNodeReconcile, type NodeReconcilerOptions } from '../../../src/agent/node/reconcile.ts';
import { type Owner, type RemoveOrphansOptions, removeOrphans } from '../../../src/agent/node/remove-orphans.ts';
import { REMOVE_ORPHANS } from '../../../src/api/group.ts';
import type { ListOptions } from '../../../src/kube/resource-client.ts';
import { layoutOf } from '../../../src/storage/layout.ts';
import { btrfsNodeOf } from '../../builders/objects.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const uid = '00000000-0000-4000-8000-000000000001';
const orphan = { uid, kind: 'LoopbackVolume', namespace: 'ns', name: 'vol', bytes: 1 } as const;
const btrfsNode = btrfsNodeOf({}, { annotations: { [REMOVE_ORPHANS]: uid } });
const owner = (name: string, spec: Owner['spec'], ownerUid = 'uid-x'): Owner => ({
  apiVersion: 'btrfs-operator.io/v1alpha1',
  kind: 'any',
  metadata: { namespace: 'ns', name, uid: ownerUid, resourceVersion: '1' },
  spec,
});

/** Why the orphan stays, with these objects; a pod that has it mounted comes after all that is asked of objects. */
async function whyKept(volumes: readonly Owner[], snapshots: readonly Owner[]): Promise<string> {
  const notes: string[] = [];
  const clientOf = (objects: readonly Owner[]) => ({
    list: async ({ namespace }: ListOptions = {}) =>
      objects.filter(({ metadata }) => namespace === undefined || metadata.namespace === namespace),
  });
  const none = clientOf([]);
  const options = {
    storage: { layout: layoutOf('/nowhere') } as RemoveOrphansOptions['storage'],
    events: { record: (...[, , reason, , note]) => notes.push(`${reason} ${note}`), flush: async () => undefined },
    podsUsing: async () => ['ns/pod'],
    clients: {
      LoopbackVolume: clientOf(volumes),
      Snapshot: clientOf(snapshots),
      BuildCache: none,
      BuildCacheClaim: none,
    },
    orphans: { volumeOf: () => undefined, look: () => undefined },
  } satisfies RemoveOrphansOptions;
  await removeOrphans(options, btrfsNode, [orphan]);
  expect(notes).toHaveLength(1);
  return notes[0] ?? '';
}

describe('removeOrphans: who keeps a volume', () => {
  const inside = owner('inside', { volumeRef: { name: 'vol' } });
  it.each([
    ['an object of its uid', [owner('vol', {}, uid)], [], 'it is what LoopbackVolume ns/vol has'],
    ['one that adopts it', [owner('vol', { source: { adopt: { uid } } })], [], 'ns/vol adopts it'],
    ['a Snapshot in a volume of its name', [], [inside], 'ns/inside is in a volume of its name'],
    ['not one in another volume of that name, which is there', [owner('vol', {})], [inside], 'pods have it mounted'],
    [
      'not one in a volume of another name',
      [],
      [owner('inside', { volumeRef: { name: 'x' } })],
      'pods have it mounted',
    ],
  ])('C8 removeOrphans: %s', async (_, volumes, snapshots, why) => {
    expect(await whyKept(volumes, snapshots)).toContain(why);
  });
});

describe('createNodeReconcile', () => {
  it('C8 createNodeReconcile: what a node offers is told although an orphan can not be removed', async () => {
    const written: unknown[] = [];
    const reconcile = createNodeReconcile({
      cached: () => btrfsNode,
      writer: {
        freshest: (node) => node,
        write: async (_, status) => void written.push(status),
        forget: () => undefined,
      },
      clock: new ManualClock(),
      facts: async () => ({
        platform: { kernel: '6.1.0', btrfsProgs: '6.2', hasBtrfs: true },
        space: { totalBytes: 100, freeBytes: 50 },
        allocatableBytes: 10,
        committedBytes: 0,
        pressure: undefined,
        transferEndpoint: undefined,
        orphans: [orphan],
      }),
      removeOrphans: () => Promise.reject(new Error('hangs')),
    } as Partial<NodeReconcilerOptions> as NodeReconcilerOptions);
    await expect(reconcile()).rejects.toThrow('hangs');
    expect(written).toMatchObject([{ hostFreeBytes: 50, orphans: [{ uid }] }]);
  });
});
