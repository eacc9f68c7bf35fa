import { describe, expect, it } from 'vitest';
import { agentLeaseName } from '../../../src/api/group.ts';
import { judge } from '../../../src/controller/judge.ts';
import { decideNode } from '../../../src/controller/nodes/decide.ts';
import { createLiveness } from '../../../src/controller/nodes/liveness.ts';
import { nodeStateOf } from '../../../src/controller/nodes/node-state.ts';
import { ApiError } from '../../../src/kube/errors.ts';
import { createLeaseObserver } from '../../../src/kube/lease.ts';
import type { Lease } from '../../../src/kube/resource-types.ts';
import { btrfsNodeOf, nodeLost, nodeOf, ownedBy } from '../../builders/objects.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const owned = btrfsNodeOf({}, ownedBy('uid-node'));
const unowned = btrfsNodeOf();

function leaseOf(renewedAt: number): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { namespace: 'op', name: agentLeaseName('node-a'), uid: 'u', resourceVersion: String(renewedAt) },
    spec: { leaseDurationSeconds: 20, renewTime: `2026-01-01T00:00:${renewedAt}.000000Z` },
  };
}

describe('nodeStateOf', () => {
  it.each([
    ['agent live', { agent: 'live', node: nodeOf(), btrfsNode: owned }, 'present'],
    ['agent live, Node gone', { agent: 'live', node: undefined, btrfsNode: owned }, 'present'],
    ['agent without a Lease for a moment', { agent: 'unsure', node: undefined, btrfsNode: undefined }, 'present'],
    ['agent silent', { agent: 'silent', node: nodeOf(), btrfsNode: owned }, 'lost'],
    ['agent silent, Node gone', { agent: 'silent', node: undefined, btrfsNode: owned }, 'gone'],
    ['agent silent, Node gone, BtrfsNode too', { agent: 'silent', node: undefined, btrfsNode: undefined }, 'gone'],
    ['agent silent, there never was a Node', { agent: 'silent', node: undefined, btrfsNode: unowned }, 'lost'],
    ['agent silent, Node made anew', { agent: 'silent', node: nodeOf('uid-new'), btrfsNode: owned }, 'lost'],
    ['agent silent, BtrfsNode gone, Node there', { agent: 'silent', node: nodeOf(), btrfsNode: undefined }, 'lost'],
  ] as const)('%s', (_, facts, state) => {
    expect(nodeStateOf({ ...facts, hasNodes: facts.node !== undefined })).toBe(state);
  });

  it.each([
    ['agent silent, without an owner, Node gone', { agent: 'silent', node: undefined, btrfsNode: unowned }, 'gone'],
    ['agent live', { agent: 'live', node: undefined, btrfsNode: unowned }, 'present'],
    ['agent without a Lease for a moment', { agent: 'unsure', node: undefined, btrfsNode: unowned }, 'present'],
    ['Node there', { agent: 'silent', node: nodeOf(), btrfsNode: unowned }, 'lost'],
  ] as const)('F32 where the cluster has Nodes: %s', (_, facts, state) => {
    expect(nodeStateOf({ ...facts, hasNodes: true })).toBe(state);
  });
});

describe('decideNode', () => {
  const marked = btrfsNodeOf({ conditions: [nodeLost()] }, ownedBy('uid-node'));
  const deleting = btrfsNodeOf({}, { ...ownedBy('uid-node'), deletionTimestamp: '2026-01-01T00:00:00Z' });
  it.each([
    ['agent live', { agent: 'live', node: nodeOf(), btrfsNode: owned }, 'none'],
    ['agent live, Node gone', { agent: 'live', node: undefined, btrfsNode: owned }, 'none'],
    ['agent silent', { agent: 'silent', node: nodeOf(), btrfsNode: owned }, 'mark-lost'],
    ['agent silent, marked', { agent: 'silent', node: nodeOf(), btrfsNode: marked }, 'none'],
    ['agent silent, there never was a Node', { agent: 'silent', node: undefined, btrfsNode: unowned }, 'mark-lost'],
    ['agent silent, Node gone', { agent: 'silent', node: undefined, btrfsNode: marked }, 'delete'],
    ['agent silent, Node made anew', { agent: 'silent', node: nodeOf('uid-new'), btrfsNode: owned }, 'delete'],
    ['agent silent, being deleted', { agent: 'silent', node: undefined, btrfsNode: deleting }, 'none'],
    ['no BtrfsNode', { agent: 'silent', node: undefined, btrfsNode: undefined }, 'none'],
  ] as const)('%s', (_, facts, kind) => {
    const hasNodes = facts.node !== undefined;
    expect(decideNode({ ...facts, hasNodes, lease: undefined, isToldLost: false }).kind).toBe(kind);
  });

  const lease = leaseOf(10);
  it.each([
    ['Node gone, BtrfsNode without an owner', { node: undefined, btrfsNode: unowned }, 'delete'],
    ['Node gone, BtrfsNode too', { node: undefined, btrfsNode: undefined }, 'delete-lease'],
    ['Node there, BtrfsNode gone', { node: nodeOf(), btrfsNode: undefined }, 'none'],
  ] as const)('F32 agent silent, %s', (_, facts, kind) => {
    const decision = decideNode({ agent: 'silent', hasNodes: true, lease, isToldLost: true, ...facts });
    expect(decision.kind).toBe(kind);
  });

  it('F32 the Lease of an agent that lives stays, its Node gone or not', () => {
    const facts = { node: undefined, btrfsNode: undefined, hasNodes: true, lease, isToldLost: false };
    for (const agent of ['live', 'unsure'] as const) expect(decideNode({ ...facts, agent }).kind).toBe('none');
  });

  it('F30 a BtrfsNode that was told so is not told again, whatever its agent wrote over that', () => {
    const facts = { agent: 'silent', node: nodeOf(), hasNodes: true, btrfsNode: owned, lease: undefined } as const;
    expect(decideNode({ ...facts, isToldLost: true }).kind).toBe('none');
  });
});

describe('createLiveness', () => {
  const key = `op/${agentLeaseName('node-a')}`;
  const signal = new AbortController().signal;

  function start() {
    const clock = new ManualClock();
    const leases = { cached: undefined as Lease | undefined, served: undefined as Lease | undefined };
    const liveness = createLiveness({
      namespace: 'op',
      observer: createLeaseObserver({ clock }),
      clock,
      cached: (asked) => (asked === key ? leases.cached : undefined),
      read: async (asked) => (asked === key ? leases.served : undefined),
    });
    return { clock, leases, liveness };
  }

  const renewed = leaseOf;

  it('F32 that the Lease of a silent agent is taken away is no sign of life; a new one is', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    liveness.stateOf('node-a');
    await clock.advance(20_000);
    leases.cached = undefined;
    expect(liveness.stateOf('node-a')).toBe('silent');
    leases.cached = renewed(40);
    expect(liveness.stateOf('node-a')).toBe('live');
  });

  it('takes an agent for live until its Lease has not changed for its duration', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    expect(liveness.stateOf('node-a')).toBe('live');
    await clock.advance(15_000);
    leases.cached = renewed(20);
    expect(liveness.stateOf('node-a')).toBe('live');
    await clock.advance(19_999);
    expect([liveness.stateOf('node-a'), liveness.remainingMs('node-a')]).toEqual(['live', 1]);
    await clock.advance(1);
    expect([liveness.stateOf('node-a'), liveness.remainingMs('node-a')]).toEqual(['silent', 0]);
  });

  it('gives an agent without a Lease the usual time', async () => {
    const { clock, liveness } = start();
    expect(liveness.stateOf('node-a')).toBe('unsure');
    await clock.advance(40_000);
    expect(liveness.stateOf('node-a')).toBe('silent');
  });

  it('confirm believes what the server has and the cache has not', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    liveness.stateOf('node-a');
    await clock.advance(20_000);
    leases.served = renewed(30);
    expect(await liveness.confirm('node-a', signal)).toBe('live');
  });

  it('confirm takes a second look before it calls an agent silent', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    leases.served = renewed(10);
    liveness.stateOf('node-a');
    await clock.advance(30_000);
    expect(await liveness.confirm('node-a', signal)).toBe('unsure');
    expect(liveness.remainingMs('node-a')).toBeCloseTo(20_000 / 3);
    await clock.advance(6_000);
    expect(await liveness.confirm('node-a', signal)).toBe('unsure');
    await clock.advance(1_000);
    expect(await liveness.confirm('node-a', signal)).toBe('silent');
    expect(liveness.remainingMs('node-a')).toBe(0);
  });

  it('the first look is forgotten when the agent comes back', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    leases.served = renewed(10);
    liveness.stateOf('node-a');
    await clock.advance(30_000);
    await liveness.confirm('node-a', signal);
    leases.cached = renewed(20);
    leases.served = renewed(20);
    expect(liveness.stateOf('node-a')).toBe('live');
    await clock.advance(20_000);
    expect(liveness.stateOf('node-a')).toBe('silent');
    expect(await liveness.confirm('node-a', signal)).toBe('unsure');
  });

  it('leaseChanged names the node only if its agent changed state', async () => {
    const { clock, leases, liveness } = start();
    leases.cached = renewed(10);
    expect(liveness.leaseChanged(key)).toBeUndefined();
    expect(liveness.stateOf('node-a')).toBe('live');
    leases.cached = renewed(20);
    expect(liveness.leaseChanged(key)).toBeUndefined();
    leases.cached = undefined;
    expect(liveness.leaseChanged(key)).toBe('node-a');
    await clock.advance(60_000);
    leases.cached = renewed(30);
    expect(liveness.leaseChanged(key)).toBe('node-a');
  });
});

describe('judge', () => {
  it.each([
    [new ApiError(409, 'Conflict', 'x'), 'benign'],
    [new ApiError(0, 'Unreachable', 'x'), 'transient'],
    [new ApiError(503, 'ServiceUnavailable', 'x'), 'transient'],
    [new ApiError(403, 'Forbidden', 'x'), 'transient'],
    [new ApiError(422, 'Invalid', 'x'), 'bug'],
    [new TypeError('x'), 'bug'],
    ['x', 'bug'],
  ])('%s', (error, kind) => {
    expect(judge(error)).toBe(kind);
  });
});
