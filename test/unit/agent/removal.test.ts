import { describe, expect, it, test } from 'vitest';
import type { Removable } from '../../../src/agent/pass/removal.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { StorageError } from '../../../src/storage/errors.ts';
import { condition } from '../../builders/objects.ts';
import { deletedOf, type RemovableName, removableNames, removalWorld } from '../../builders/removals.ts';

const conditionsOf = ({ conditions = [] }: Removable['status']) =>
  conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
const ours = { metadata: { finalizers: ['btrfs-operator.io/other'] } };
const said = (status: 'True' | 'False', reason: string) =>
  condition('Removed', status, { reason, observedGeneration: 9 });

/** What the API server says of an object that the agent's cache takes for a deleted one. */
const notOurs: readonly (readonly [title: string, onServer: (name: RemovableName) => Removable | undefined])[] = [
  ['it is gone', () => undefined],
  ['another has its name', (name) => deletedOf(name, { metadata: { uid: 'uid-another' } })],
  ['nobody deletes it', (name) => deletedOf(name, { metadata: { deletionTimestamp: undefined } })],
  ['it is on another node', (name) => deletedOf(name, { status: { nodeName: 'node-b' } })],
];

describe.each(removableNames)('removeObject: %s', (name) => {
  test.each(notOurs)('F44 rule 8: nothing is touched or said when %s', async (_, onServer) => {
    const world = removalWorld(name, onServer(name));
    expect(await world.ofKind()).toEqual({ kind: 'settled' });
    expect([world.calls, world.writes, world.events]).toEqual([[], [], []]);
  });

  test('F44 rule 8: nothing is touched when the API server does not answer', async () => {
    const world = removalWorld(name, new ApiError(0, 'Unreachable', 'GET: no answer'));
    await expect(world.ofKind()).rejects.toThrow('no answer');
    expect([world.calls, world.writes]).toEqual([[], []]);
  });

  test('rule 8: the world of these tests notes what a removal reaches for', async () => {
    const world = removalWorld(name, deletedOf(name));
    await expect(world.ofKind()).rejects.toThrow('was called');
    expect(world.calls).not.toEqual([]);
  });

  test('rule 8: what spec wants is what the API server says, not what the cache had', async () => {
    const onServer = deletedOf(name, { metadata: { resourceVersion: '9', labels: { is: 'fresh' } } });
    const asked: (Removable | undefined)[] = [];
    const world = removalWorld(name, onServer);
    await world.withKind({
      blockers: async (object) => void asked.push(object),
      remove: async (object) => {
        asked.push(object);
        return { step: 'removed', reason: 'Removed', message: 'gone' };
      },
      figures: ({ status }) => status,
    });
    expect(asked).toEqual([onServer, onServer]);
  });

  it.each([
    ['Removed', 'gone'],
    ['Retained', 'kept'],
  ] as const)('F39 is not Ready when it is done, and neither Reconciling nor Stalled: %s', async (reason, message) => {
    const world = removalWorld(name, deletedOf(name, { status: { conditions: [said('False', 'InUse')] } }));
    await world.withKind({
      blockers: async () => undefined,
      remove: async () => ({ step: 'removed', reason, message }),
      figures: ({ status }) => status,
    });
    expect(world.writes.map(({ status }) => conditionsOf(status))).toEqual([
      ['Ready=False Deleting', `Removed=True ${reason}`],
    ]);
    expect(world.events).toEqual([reason]);
  });

  test.each([
    ['time', 'Reconciling'],
    ['person', 'Stalled'],
  ] as const)('F39 is not Ready while it waits for others, and says who can mend it: %s', async (mendedBy, type) => {
    const world = removalWorld(name, deletedOf(name));
    const outcome = await world.withKind({
      blockers: async () => ({ reason: 'HasDependents', message: 'delete it first', mendedBy }),
      figures: ({ status }) => status,
    });
    expect(outcome).toMatchObject({ kind: 'waiting', reason: 'HasDependents' });
    expect(world.writes.map(({ status }) => conditionsOf(status))).toEqual([
      ['Ready=False Deleting', 'Removed=False HasDependents', `${type}=True HasDependents`],
    ]);
    expect(world.calls).toEqual([]);
  });

  test.each([
    ['foreign', 'Stalled'],
    ['damaged', 'Stalled'],
    ['not-ready', 'Reconciling'],
    ['timeout', 'Reconciling'],
    ['failed', 'Reconciling'],
  ] as const)('F39 is not Ready when its removal fails: %s', async (code, type) => {
    const world = removalWorld(name, deletedOf(name));
    const failing = world.withKind({
      blockers: async () => undefined,
      remove: async () => {
        throw new StorageError(code, 'why, and what to do', { reason: 'CommandFailed' });
      },
      figures: ({ status }) => status,
    });
    if (code === 'failed') await expect(failing).rejects.toThrow('why');
    else expect(await failing).toMatchObject({ kind: 'waiting', message: 'why, and what to do' });
    expect(world.writes.map(({ status }) => conditionsOf(status))).toEqual([
      ['Ready=False Deleting', 'Removed=False CommandFailed', `${type}=True CommandFailed`],
    ]);
  });

  test.each(['VolumeNotReady', 'ForeignFilesystem', 'CommandStuck', 'HasChildren'])(
    'F45 what it waits for is looked at again within 10 s, since nobody wakes it: %s',
    async (reason) => {
      const blockers = async () => ({ reason, message: 'why', mendedBy: 'time' }) as const;
      const outcome = await removalWorld(name, deletedOf(name)).withKind({ blockers, figures: ({ status }) => status });
      expect(outcome).toMatchObject({ kind: 'waiting', afterMs: expect.toSatisfy((ms) => ms <= 10_000) });
    },
  );

  test('F22 an error of the API server is tried again, and is no condition', async () => {
    for (const refusing of ['blockers', 'remove'] as const) {
      const world = removalWorld(name, deletedOf(name));
      const refused = async () => {
        throw new ApiError(503, 'ServiceUnavailable', 'GET namespaces/ns: not now');
      };
      const kind = { blockers: async () => undefined, figures: ({ status }: Removable) => status, [refusing]: refused };
      await expect(world.withKind(kind)).rejects.toThrow('not now');
      expect([world.writes, world.events]).toEqual([[], []]);
    }
  });

  test('F44 what its status says of the removal is no reason to leave it out, nor to say it less', async () => {
    const conditions = [said('True', 'Removed')];
    const world = removalWorld(name, deletedOf(name, { ...ours, status: { conditions } }));
    let removals = 0;
    const kind = {
      blockers: async () => undefined,
      remove: async () => {
        removals++;
        return { step: 'removed', reason: 'Removed', message: '' } as const;
      },
      figures: ({ status }: Removable) => status,
    };
    await world.withKind(kind);
    expect([removals, world.writes.length]).toEqual([1, 1]);
    const again = removalWorld(name, deletedOf(name, { status: { ...world.writes[0]?.status } }));
    await again.withKind(kind);
    expect([removals, again.writes.length]).toEqual([2, 1]);
  });

  test('F44 is proven again as long as the finalizer is there, and no longer', async () => {
    const kind = {
      finalizer: 'btrfs-operator.io/test',
      blockers: async () => undefined,
      remove: async () => ({ step: 'removed', reason: 'Removed', message: 'gone' }) as const,
      figures: ({ status }: Removable) => status,
    };
    const held = removalWorld(name, deletedOf(name, { metadata: { finalizers: [kind.finalizer, 'example.com/x'] } }));
    expect(await held.withKind(kind)).toMatchObject({ kind: 'recheck', step: 'removed' });
    const free = removalWorld(name, deletedOf(name, { metadata: { finalizers: ['example.com/x'] } }));
    expect(await free.withKind(kind)).toMatchObject({ kind: 'settled' });
    expect(held.writes[0]?.status).toMatchObject({ observedGeneration: 2 });
  });
});
