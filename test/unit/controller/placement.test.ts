import { describe, expect, it, test } from 'vitest';
import { obstacleOf, reservationOf } from '../../../src/controller/volumes/obstacle.ts';
import { decidePlacement, type NodeOffer, type PlacementRequest } from '../../../src/controller/volumes/placement.ts';
import { btrfsNodeOf, condition } from '../../builders/objects.ts';

const GiB = 2 ** 30;

function offer(name: string, allocatableGiB: number, committedGiB = 0, rest: Partial<NodeOffer> = {}): NodeOffer {
  return {
    name,
    obstacle: undefined,
    reservation: undefined,
    labels: {},
    allocatableBytes: allocatableGiB * GiB,
    committedBytes: committedGiB * GiB,
    ...rest,
  };
}

function place(offers: NodeOffer[], sizeGiB: number, wish: Partial<PlacementRequest> = {}) {
  return decidePlacement({ sizeBytes: sizeGiB * GiB, nodeName: undefined, nodeSelector: undefined, ...wish }, offers);
}

describe('decidePlacement: which node', () => {
  const cases: {
    title: string;
    offers: NodeOffer[];
    wish?: Partial<PlacementRequest>;
    sizeGiB?: number;
    node: string;
  }[] = [
    { title: 'the most free capacity', offers: [offer('a', 10, 8), offer('b', 10, 3), offer('c', 4)], node: 'b' },
    { title: 'the first by name of equals', offers: [offer('c', 9), offer('b', 10, 1), offer('d', 9)], node: 'b' },
    { title: 'a size that just fits', offers: [offer('a', 10, 6)], sizeGiB: 4, node: 'a' },
    {
      title: 'not the freest, if that is in the way',
      offers: [offer('a', 5), offer('b', 99, 0, { obstacle: 'x' })],
      node: 'a',
    },
    {
      title: 'spec.nodeName though another has more',
      offers: [offer('a', 5), offer('b', 99)],
      wish: { nodeName: 'a' },
      node: 'a',
    },
    {
      title: 'all labels of nodeSelector',
      offers: [
        offer('a', 99, 0, { labels: { disk: 'ssd' } }),
        offer('b', 5, 0, { labels: { disk: 'ssd', zone: 'z', more: 'x' } }),
        offer('c', 99, 0, { labels: undefined }),
      ],
      wish: { nodeSelector: { disk: 'ssd', zone: 'z' } },
      node: 'b',
    },
    {
      title: 'F35 not a reserved node, if another has room',
      offers: [offer('a', 99, 0, { reservation: 'is cordoned' }), offer('b', 5)],
      node: 'b',
    },
    {
      title: 'F35 a reserved node, if spec.nodeName says so',
      offers: [offer('a', 9, 0, { reservation: 'is cordoned' }), offer('b', 99)],
      wish: { nodeName: 'a' },
      node: 'a',
    },
    {
      title: 'any node for an empty nodeSelector, with or without a Node',
      offers: [offer('a', 5, 0, { labels: undefined })],
      wish: { nodeSelector: {} },
      node: 'a',
    },
  ];
  it.each(cases)('$title', ({ offers, wish, sizeGiB = 1, node }) => {
    expect(place(offers, sizeGiB, wish)).toEqual({ kind: 'node', nodeName: node });
    expect(place(offers.toReversed(), sizeGiB, wish)).toEqual({ kind: 'node', nodeName: node });
  });
});

describe('decidePlacement: why not', () => {
  const cases: {
    title: string;
    offers: NodeOffer[];
    wish?: Partial<PlacementRequest>;
    reason?: string;
    message: string;
  }[] = [
    {
      title: 'no agents',
      offers: [],
      message: '0 of 0 nodes fit 20Gi: there is no BtrfsNode; check that the agents run',
    },
    {
      title: 'each node with its own reason',
      offers: [
        offer('node-c', 99, 0, { obstacle: 'is under host pressure', labels: { disk: 'ssd' } }),
        offer('node-b', 99, 0, { labels: { disk: 'hdd' } }),
        offer('node-a', 10, 7, { labels: { disk: 'ssd' } }),
        offer('node-d', 99, 0, { labels: undefined }),
      ],
      wish: { nodeSelector: { disk: 'ssd' } },
      message:
        '0 of 4 nodes fit 20Gi: node-a is smaller than that; node-b does not match nodeSelector disk=ssd; node-c is under host pressure; node-d has no Node whose labels could match nodeSelector disk=ssd',
    },
    {
      title: 'five nodes named, the others counted',
      offers: Array.from({ length: 7 }, (_, index) => offer(`node-${index}`, 1)),
      message: `0 of 7 nodes fit 20Gi: ${[0, 1, 2, 3, 4].map((n) => `node-${n} is smaller than that`).join('; ')}; and 2 more`,
    },
    {
      title: 'a node given away more than there is',
      offers: [offer('a', 21, 25)],
      message: '0 of 1 nodes fit 20Gi: a has less than that left',
    },
    {
      title: 'spec.nodeName without room',
      offers: [offer('node-a', 30, 17), offer('node-b', 99)],
      wish: { nodeName: 'node-a' },
      message: "20Gi can't go to spec.nodeName: node-a has less than that left",
    },
    {
      title: 'spec.nodeName under pressure',
      offers: [offer('node-a', 99, 0, { obstacle: 'is under host pressure' })],
      wish: { nodeName: 'node-a' },
      message: "20Gi can't go to spec.nodeName: node-a is under host pressure",
    },
    {
      title: 'spec.nodeName unknown',
      offers: [offer('node-b', 99), offer('node-a', 99)],
      wish: { nodeName: 'node-x' },
      reason: 'UnknownNode',
      message:
        'there is no BtrfsNode "node-x": check spec.nodeName and that an agent runs on that node; known are: node-a, node-b',
    },
    {
      title: 'spec.nodeName unknown, no agents',
      offers: [],
      wish: { nodeName: 'node-x' },
      reason: 'UnknownNode',
      message:
        'there is no BtrfsNode "node-x": check spec.nodeName and that an agent runs on that node; known are: none',
    },
  ];
  it.each(cases)('$title', ({ offers, wish, reason = 'NoNodeFits', message }) => {
    expect(place(offers, 20, wish)).toEqual({ kind: 'none', reason, message });
    expect(place(offers.toReversed(), 20, wish)).toEqual({ kind: 'none', reason, message });
  });
});

test('F36 decidePlacement: a refusal says the same while room comes and goes', () => {
  const refusals = [0, 3, 9].map((committed) => place([offer('a', 10, committed), offer('b', 30, 21)], 20));
  expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
});

describe('reservationOf', () => {
  const taint = (effect: string, value?: string) => ({ key: 'k', effect, ...(value === undefined ? {} : { value }) });
  it.each([
    ['no Node', undefined, undefined],
    ['a Node that takes all', {}, undefined],
    ['cordoned', { unschedulable: true }, 'is cordoned'],
    ['NoSchedule', { taints: [taint('PreferNoSchedule'), taint('NoSchedule', 'v')] }, 'has the taint k=v:NoSchedule'],
    ['NoExecute', { taints: [taint('NoExecute')] }, 'has the taint k:NoExecute'],
    ['what is only preferred', { taints: [taint('PreferNoSchedule')] }, undefined],
  ])('F35 %s', (_, spec, reservation) => {
    const node = spec && {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n', uid: 'u', resourceVersion: '1' },
      spec,
    };
    expect(reservationOf(node)).toBe(reservation);
  });
});

describe('obstacleOf', () => {
  const ready = condition('Ready', 'True');
  it.each([
    ['ready and live', btrfsNodeOf(), true, undefined],
    ['without an agent', btrfsNodeOf(), false, 'has no live agent'],
    ['never written', btrfsNodeOf({ conditions: [] }), true, 'is not ready (Pending)'],
    [
      'not ready',
      btrfsNodeOf({ conditions: [condition('Ready', 'False', { reason: 'MissingFeature' })] }),
      true,
      'is not ready (MissingFeature)',
    ],
    [
      'kernel too old',
      btrfsNodeOf({ conditions: [ready, condition('KernelSupported', 'False')] }),
      true,
      'has an unsupported kernel',
    ],
    ['kernel fine', btrfsNodeOf({ conditions: [ready, condition('KernelSupported', 'True')] }), true, undefined],
    ['kernel unknown', btrfsNodeOf({ conditions: [ready, condition('KernelSupported', 'Unknown')] }), true, undefined],
    [
      'host almost full',
      btrfsNodeOf({ conditions: [ready, condition('HostPressure', 'True')] }),
      true,
      'is under host pressure',
    ],
    ['host not full', btrfsNodeOf({ conditions: [ready, condition('HostPressure', 'False')] }), true, undefined],
    ['being deleted', btrfsNodeOf({}, { deletionTimestamp: '2026-01-01T00:00:00Z' }), true, 'is being deleted'],
  ])('%s', (_, btrfsNode, isLive, obstacle) => {
    expect(obstacleOf(btrfsNode, isLive)).toBe(obstacle);
  });
});
