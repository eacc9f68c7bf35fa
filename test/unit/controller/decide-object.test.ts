import { describe, expect, it } from 'vitest';
import { VOLUME_FINALIZER } from '../../../src/api/group.ts';
import { type Decision, decideObject, type World } from '../../../src/controller/objects/decide.ts';
import { condition, nodeLost, scheduled, volumeOf } from '../../builders/objects.ts';

const deleting = { deletionTimestamp: '2026-01-01T00:00:00Z', generation: 2 };
const placed = { nodeName: 'node-a', conditions: [scheduled()] };
const minuteLeft = { expiresInMs: 60_000, nodeState: 'present' } as const;
const over = { expiresInMs: 0, nodeState: 'present' } as const;
const refusal = { kind: 'none', reason: 'NoNodeFits', message: '0 of 0' } as const;
const removed = (observedGeneration: number) => condition('Removed', 'True', { observedGeneration });

interface Row {
  readonly title: string;
  readonly world: Partial<World> & Pick<World, 'object'>;
  readonly decision: Decision;
}

const rows: Row[] = [
  {
    title: 'a new volume gets the finalizer before anything else',
    world: { object: volumeOf({ metadata: { finalizers: ['example.com/other'] } }) },
    decision: { kind: 'add-finalizer' },
  },
  {
    title: 'a placed volume that lost its finalizer gets it back',
    world: { object: volumeOf({ metadata: { finalizers: [] }, status: placed }) },
    decision: { kind: 'add-finalizer' },
  },
  {
    title: 'a volume without a node is placed where placement says',
    world: { object: volumeOf(), placement: () => ({ kind: 'node', nodeName: 'node-b' }) },
    decision: { kind: 'place', nodeName: 'node-b' },
  },
  {
    title: 'a volume that fits nowhere is told why',
    world: { object: volumeOf(), placement: () => refusal },
    decision: { kind: 'refuse', reason: 'NoNodeFits', message: '0 of 0' },
  },
  {
    title: 'a volume that this process has just placed is left alone until the cache shows it',
    world: { object: volumeOf(), isAssumed: true },
    decision: { kind: 'none' },
  },
  {
    title: 'a placed volume on a node that is there needs nothing',
    world: { object: volumeOf({ status: placed }), nodeState: 'present' },
    decision: { kind: 'none' },
  },
  {
    title: 'a placed volume without condition Scheduled gets it',
    world: { object: volumeOf({ status: { nodeName: 'node-a' } }), nodeState: 'present' },
    decision: { kind: 'confirm-placement', nodeName: 'node-a' },
  },
  {
    title: 'Scheduled follows the generation',
    world: { object: volumeOf({ metadata: { generation: 2 }, status: placed }), nodeState: 'present' },
    decision: { kind: 'confirm-placement', nodeName: 'node-a' },
  },
  ...(['lost', 'gone'] as const).map(
    (nodeState): Row => ({
      title: `a volume on a node that is ${nodeState} is marked`,
      world: { object: volumeOf({ status: placed }), nodeState },
      decision: { kind: 'mark-lost', nodeName: 'node-a' },
    }),
  ),
  {
    title: 'a lost volume is marked once',
    world: { object: volumeOf({ status: { ...placed, conditions: [scheduled(), nodeLost()] } }), nodeState: 'lost' },
    decision: { kind: 'none' },
  },
  {
    title: 'a node that is back: the mark is the agent’s to remove',
    world: { object: volumeOf({ status: { ...placed, conditions: [scheduled(), nodeLost()] } }), nodeState: 'present' },
    decision: { kind: 'none' },
  },
  {
    title: 'deleting, never placed: the finalizer goes',
    world: { object: volumeOf({ metadata: deleting }) },
    decision: { kind: 'remove-finalizer' },
  },
  {
    title: 'deleting, our finalizer gone: nothing, others may still hold it',
    world: {
      object: volumeOf({ metadata: { ...deleting, finalizers: ['example.com/other'] }, status: placed }),
      nodeState: 'lost',
    },
    decision: { kind: 'none' },
  },
  {
    title: 'deleting, placement not in the cache yet: waits for it',
    world: { object: volumeOf({ metadata: deleting }), isAssumed: true },
    decision: { kind: 'none' },
  },
  {
    title: 'deleting, placed: waits for the agent',
    world: { object: volumeOf({ metadata: deleting, status: placed }), nodeState: 'present' },
    decision: { kind: 'none' },
  },
  {
    title: 'F44 deleting, Removed=True: asks who has said so',
    world: {
      object: volumeOf({ metadata: deleting, status: { ...placed, conditions: [removed(2)] } }),
      nodeState: 'present',
    },
    decision: { kind: 'confirm-removal' },
  },
  {
    title: 'F37 deleting, Removed=True of an earlier generation: the same, as nothing comes back',
    world: {
      object: volumeOf({ metadata: deleting, status: { ...placed, conditions: [removed(1)] } }),
      nodeState: 'present',
    },
    decision: { kind: 'confirm-removal' },
  },
  {
    title: 'deleting, Removed=False: waits',
    world: {
      object: volumeOf({
        metadata: deleting,
        status: { ...placed, conditions: [condition('Removed', 'False', { observedGeneration: 2 })] },
      }),
      nodeState: 'present',
    },
    decision: { kind: 'none' },
  },
  {
    title: 'deleting, Removed=True and then the node lost: the same',
    world: {
      object: volumeOf({ metadata: deleting, status: { ...placed, conditions: [removed(2)] } }),
      nodeState: 'lost',
    },
    decision: { kind: 'confirm-removal' },
  },
  {
    title: 'deleting on a lost node: stays, marked',
    world: { object: volumeOf({ metadata: deleting, status: placed }), nodeState: 'lost' },
    decision: { kind: 'mark-lost', nodeName: 'node-a' },
  },
  {
    title: 'deleting on a lost node, marked: stays',
    world: {
      object: volumeOf({ metadata: deleting, status: { ...placed, conditions: [nodeLost()] } }),
      nodeState: 'lost',
    },
    decision: { kind: 'none' },
  },
  {
    title: 'deleting on a node that is gone for good: the data is abandoned',
    world: { object: volumeOf({ metadata: deleting, status: placed }), nodeState: 'gone' },
    decision: { kind: 'abandon', nodeName: 'node-a' },
  },
  {
    title: 'one whose time will be over is looked at then',
    world: { object: volumeOf({ status: placed }), ...minuteLeft },
    decision: { kind: 'await-expiry', afterMs: 60_000 },
  },
  {
    title: 'one whose time is over expires',
    world: { object: volumeOf({ status: placed }), ...over },
    decision: { kind: 'expire' },
  },
  {
    title: 'one whose time has long been over expires, whatever Scheduled says',
    world: { object: volumeOf({ status: { nodeName: 'node-a' } }), ...over, expiresInMs: -1e9 },
    decision: { kind: 'expire' },
  },
  {
    title: 'Scheduled is confirmed before the wait',
    world: { object: volumeOf({ status: { nodeName: 'node-a' } }), ...minuteLeft },
    decision: { kind: 'confirm-placement', nodeName: 'node-a' },
  },
  {
    title: 'one whose time is over, without our finalizer: first it gets that, or its node would never clean up',
    world: { object: volumeOf({ metadata: { finalizers: [] }, status: placed }), ...over },
    decision: { kind: 'add-finalizer' },
  },
  {
    title: 'one that is being deleted does not expire as well',
    world: { object: volumeOf({ metadata: deleting, status: placed }), ...over },
    decision: { kind: 'none' },
  },
  {
    title: 'on a lost node: it is marked first',
    world: { object: volumeOf({ status: placed }), ...over, nodeState: 'lost' },
    decision: { kind: 'mark-lost', nodeName: 'node-a' },
  },
  {
    title: 'on a lost node, marked: it expires, and stays until the node is back',
    world: {
      object: volumeOf({ status: { ...placed, conditions: [scheduled(), nodeLost()] } }),
      ...over,
      nodeState: 'lost',
    },
    decision: { kind: 'expire' },
  },
  {
    title: 'F30 on a lost node, told so, and its agent wrote over that: it is not told again while the agent is silent',
    world: { object: volumeOf({ status: placed }), nodeState: 'lost', isToldLost: true },
    decision: { kind: 'none' },
  },
  {
    title: 'F30 the same while it is being deleted',
    world: { object: volumeOf({ metadata: deleting, status: placed }), nodeState: 'lost', isToldLost: true },
    decision: { kind: 'none' },
  },
];

describe('decideObject', () => {
  it.each(rows)('$title', ({ world, decision }) => {
    const placement = () => {
      throw new Error('placement was not to be asked');
    };
    expect(
      decideObject({
        finalizer: VOLUME_FINALIZER,
        nodeState: undefined,
        isToldLost: false,
        isAssumed: false,
        expiresInMs: undefined,
        placement,
        ...world,
      }),
    ).toEqual(decision);
  });
});
