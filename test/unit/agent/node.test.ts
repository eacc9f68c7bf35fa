import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { allocatableBytes, type CapacitySettings, pressureOf } from '../../../src/agent/node/capacity.ts';
import { isKernelSupported, parseKernelRelease } from '../../../src/agent/node/kernel.ts';
import { createNodeReconcile, type NodeReconcilerOptions } from '../../../src/agent/node/reconcile.ts';
import { type NodeReport, nodeStatusOf } from '../../../src/agent/node/status.ts';
import { findCondition } from '../../../src/api/conditions.ts';
import { MIN_KERNEL } from '../../../src/api/group.ts';
import { btrfsNodeConditionTypes, btrfsNodeReasons } from '../../../src/api/reasons.ts';
import type { ObjectMeta } from '../../../src/kube/object.ts';
import type { Node } from '../../../src/kube/resource-types.ts';
import { btrfsNodeOf, nodeOf } from '../../builders/objects.ts';
import { GIB, MIB } from '../../builders/wishes.ts';

describe('kernel releases', () => {
  it.each([
    ['6.1.0-13-amd64', 6, 1],
    ['5.8', 5, 8],
    ['5.8.0', 5, 8],
    ['6.18.44-fc-v669', 6, 18],
    ['5.15.167.4-microsoft-standard-WSL2', 5, 15],
    ['6.12.0+deb13-amd64', 6, 12],
    ['6.6.12_1', 6, 6],
    ['10.0', 10, 0],
  ])('B3 parseKernelRelease: %s', (release, major, minor) => {
    expect(parseKernelRelease(release)).toEqual([major, minor]);
  });

  it.each(['', 'junk', '6', '6.', '.8', 'v6.1', '6.1rc1', '-5.8', '6,1', '6.x.1', ' 6.1', '6.1\n', '99999.1'])(
    'B3 parseKernelRelease: refuses %j',
    (release) => expect(() => parseKernelRelease(release)).toThrow(TypeError),
  );

  it.each([
    ['5.7.19', false],
    ['4.19.0-27-amd64', false],
    ['5.8', false],
    ['5.9.16', false],
    ['5.10', true],
    ['5.10.0', true],
    ['6.0', true],
  ])('B3 isKernelSupported: %s is %s', (release, supported) => expect(isKernelSupported(release)).toBe(supported));

  it.each(['README.md', 'docs/operations.md', 'charts/btrfs-operator/README.md'])(
    'B3 MIN_KERNEL: %s promises no other kernel',
    (document) => {
      const text = readFileSync(path.join(import.meta.dirname, '../../..', document), 'utf8');
      const promised = [...text.matchAll(/Linux (\d+\.\d+) or newer/g)].map(([, release]) => release);
      expect([...new Set(promised)]).toEqual([MIN_KERNEL]);
    },
  );
});

describe('createNodeReconcile', () => {
  function start(known: { node: Node | undefined; hasNodes: boolean }) {
    const created: unknown[] = [];
    const reconcile = createNodeReconcile({
      nodeName: 'node-a',
      btrfsNodes: {
        get: async () => undefined,
        create: async (draft: { metadata: Partial<ObjectMeta> }) => {
          created.push(draft.metadata.ownerReferences?.map(({ uid }) => uid));
          throw new Error('enough seen');
        },
      } as unknown as NodeReconcilerOptions['btrfsNodes'],
      nodes: { get: async () => known.node } as unknown as NodeReconcilerOptions['nodes'],
      hasNodes: async () => known.hasNodes,
      cached: () => undefined,
    } as unknown as NodeReconcilerOptions);
    return { created, reconcile };
  }

  it('F32 makes no BtrfsNode while its Node is gone, and looks again soon', async () => {
    const { created, reconcile } = start({ node: undefined, hasNodes: true });
    expect(await reconcile()).toMatchObject({ afterMs: 10_000 });
    expect(created).toEqual([]);
  });

  it.each([
    ['that its Node owns', { node: nodeOf(), hasNodes: true }, ['uid-node']],
    ['that nobody owns where there are no Nodes', { node: undefined, hasNodes: false }, []],
  ])('F32 makes one %s', async (_, known, owners) => {
    const { created, reconcile } = start(known);
    await expect(reconcile()).rejects.toThrow('enough seen');
    expect(created).toEqual([owners]);
  });
});

const capacity: CapacitySettings = {
  overcommitRatio: 1,
  reserveBytes: undefined,
  hostPressurePercent: 10,
  hostPressureBytes: undefined,
};
const space = (freeBytes: number) => ({ totalBytes: 100 * GIB, freeBytes });

describe('capacity', () => {
  it.each([
    ['a large disk keeps 1 GiB', 100 * GIB, {}, 99 * GIB],
    ['a small one keeps 5 %', 10 * GIB, {}, 9.5 * GIB],
    ['the reserve is a setting', 100 * GIB, { reserveBytes: 30 * GIB }, 70 * GIB],
    ['overcommit comes before the reserve', 10 * GIB, { overcommitRatio: 3, reserveBytes: GIB }, 29 * GIB],
    ['a reserve above everything leaves nothing', GIB, { reserveBytes: 2 * GIB }, 0],
    ['bytes are whole', 1001, { overcommitRatio: 0.5, reserveBytes: 0 }, 500],
  ])('allocatableBytes: %s', (_, totalBytes, settings, bytes) => {
    expect(allocatableBytes({ totalBytes, freeBytes: 0 }, { ...capacity, ...settings })).toBe(bytes);
  });

  it.each([
    ['less than the percentage is free', 10 * GIB - 1, {}, true],
    ['exactly the percentage is free', 10 * GIB, {}, false],
    ['enough is free in bytes', 5 * GIB, { hostPressureBytes: 5 * GIB }, false],
    ['too little by both', 5 * GIB - 1, { hostPressureBytes: 5 * GIB }, true],
    ['0 percent never is', 0, { hostPressurePercent: 0 }, false],
  ])('pressureOf: %s', (_, freeBytes, settings, pressure) => {
    expect(pressureOf(space(freeBytes), { ...capacity, ...settings }) !== undefined).toBe(pressure);
  });

  it.each([
    [10 * GIB, true],
    [12 * GIB - 1, true],
    [12 * GIB, false],
  ])('pressureOf: with %d bytes free it is still there: %s', (freeBytes, pressure) => {
    const before = pressureOf(space(GIB), capacity);
    expect(pressureOf(space(freeBytes), capacity, before)).toBe(pressure ? before : undefined);
  });

  it('pressureOf: says the same however little is left, or status would change with each write', () => {
    expect(pressureOf(space(GIB), capacity)).toBe(pressureOf(space(2 * GIB), capacity));
  });
});

function nodeReport(parts: Partial<NodeReport> = {}): NodeReport {
  return {
    previous: btrfsNodeOf({ conditions: undefined }),
    platform: { kernel: '6.12.0-amd64', btrfsProgs: '6.2', hasBtrfs: true },
    space: space(50 * GIB),
    allocatableBytes: 99 * GIB,
    committedBytes: GIB,
    exportedBytes: 0,
    pressure: undefined,
    orphans: [],
    transferEndpoint: undefined,
    now: new Date('2026-01-01T12:00:00Z'),
    ...parts,
  };
}

describe('nodeStatusOf', () => {
  it('says where others fetch snapshots once that is known, and nothing before', () => {
    expect(nodeStatusOf(nodeReport())).not.toHaveProperty('transferEndpoint');
    const transferEndpoint = '10.0.0.1:8082';
    expect(nodeStatusOf(nodeReport({ transferEndpoint }))).toMatchObject({ transferEndpoint });
  });

  const old = { kernel: '5.4.0', btrfsProgs: '5.4', hasBtrfs: true };
  const junk = { kernel: 'junk', btrfsProgs: '6.2', hasBtrfs: true };
  const without = { kernel: '6.12.0', btrfsProgs: '6.2', hasBtrfs: false };
  const pressure = "less than 10 % of the node's file system is free";
  it.each([
    ['all is well', {}, 'Ready=True/Ready KernelSupported=True/KernelSupported HostPressure=False/EnoughSpace'],
    [
      'B3 an old kernel',
      { platform: old },
      'Ready=False/KernelTooOld KernelSupported=False/KernelTooOld HostPressure=False/EnoughSpace',
    ],
    [
      'B3 a kernel of no version',
      { platform: junk },
      'Ready=False/KernelUnknown KernelSupported=False/KernelUnknown HostPressure=False/EnoughSpace',
    ],
    [
      'no btrfs',
      { platform: without },
      'Ready=False/MissingFeature KernelSupported=False/MissingFeature HostPressure=False/EnoughSpace',
    ],
    [
      'a full node',
      { pressure },
      'Ready=True/Ready KernelSupported=True/KernelSupported HostPressure=True/HostAlmostFull',
    ],
  ])('%s', (_, parts, expected) => {
    const conditions = nodeStatusOf(nodeReport(parts)).conditions ?? [];
    expect(conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`).join(' ')).toBe(expected);
    for (const { type, reason, message } of conditions) {
      expect(Object.keys(btrfsNodeConditionTypes)).toContain(type);
      expect(Object.keys(btrfsNodeReasons)).toContain(reason);
      expect(message).toMatch(/^[^\n]{5,300}$/);
    }
  });

  it('nothing changes between two passes, nor when free space moves by less than 1 %', () => {
    const first = nodeStatusOf(nodeReport());
    const second = nodeReport({ previous: btrfsNodeOf(first), space: space(50 * GIB + 900 * MIB), now: new Date() });
    expect(nodeStatusOf(second)).toEqual(first);
  });

  it('C8 nodeStatusOf: orphans are listed oldest first, since when they were first seen; none leave the field out', () => {
    const orphan = (digit: string) => ({ uid: digit.repeat(8), kind: 'LoopbackVolume', bytes: 5 }) as const;
    const [one, two] = [orphan('1'), orphan('2')];
    const named = { namespace: undefined, name: undefined };
    const first = nodeStatusOf(nodeReport({ orphans: [{ ...two, ...named }] }));
    expect(first.orphans).toEqual([{ ...two, since: '2026-01-01T12:00:00Z' }]);
    const later = { previous: btrfsNodeOf(first), now: new Date('2026-01-02T12:00:00Z') };
    const owner = { namespace: 'default', name: 'vol' };
    expect(
      nodeStatusOf(
        nodeReport({
          ...later,
          orphans: [
            { ...one, ...owner },
            { ...two, ...named },
          ],
        }),
      ).orphans,
    ).toEqual([
      { ...two, since: '2026-01-01T12:00:00Z' },
      { ...one, ...owner, since: '2026-01-02T12:00:00Z' },
    ]);
    expect(nodeStatusOf(nodeReport({ ...later, orphans: undefined })).orphans).toEqual(first.orphans);
    expect(nodeStatusOf(nodeReport({ ...later, orphans: [] }))).not.toHaveProperty('orphans');
  });

  it('free space is written when it moved by 1 %', () => {
    const previous = btrfsNodeOf(nodeStatusOf(nodeReport()));
    expect(nodeStatusOf(nodeReport({ previous, space: space(49 * GIB) })).hostFreeBytes).toBe(49 * GIB);
  });

  it('NodeLost, written by the controller, is taken back', () => {
    const lost = btrfsNodeOf({
      conditions: [
        {
          type: 'Ready',
          status: 'Unknown',
          reason: 'NodeLost',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    });
    const ready = findCondition(nodeStatusOf(nodeReport({ previous: lost })).conditions, 'Ready');
    expect(ready).toMatchObject({ status: 'True', lastTransitionTime: '2026-01-01T12:00:00Z' });
  });
});
