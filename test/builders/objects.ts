import { type BtrfsNode, type BtrfsNodeStatus, parseBtrfsNode } from '../../src/api/btrfs-node.ts';
import type { Condition } from '../../src/api/conditions.ts';
import { API_VERSION, VOLUME_FINALIZER } from '../../src/api/group.ts';
import { type LoopbackVolume, type LoopbackVolumeStatus, parseLoopbackVolume } from '../../src/api/loopback-volume.ts';
import type { ObjectMeta } from '../../src/kube/object.ts';
import type { Node } from '../../src/kube/resource-types.ts';

export const T0 = '2026-01-01T00:00:00Z';

export function condition(type: string, status: Condition['status'], rest: Partial<Condition> = {}): Condition {
  return { type, status, reason: 'Because', message: '', lastTransitionTime: T0, observedGeneration: 1, ...rest };
}

export interface VolumeParts {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Record<string, unknown>;
  readonly status?: Partial<LoopbackVolumeStatus>;
}

/** A LoopbackVolume ns/vol of 1Gi that holds our finalizer and is not placed yet. */
export function volumeOf({ metadata = {}, spec = {}, status = {} }: VolumeParts = {}): LoopbackVolume {
  return parseLoopbackVolume({
    apiVersion: API_VERSION,
    kind: 'LoopbackVolume',
    metadata: {
      namespace: 'ns',
      name: 'vol',
      uid: 'uid-1',
      resourceVersion: '7',
      generation: 1,
      finalizers: [VOLUME_FINALIZER],
      ...metadata,
    },
    spec: { size: '1Gi', ...spec },
    status: { observedGeneration: -1, ...status },
  });
}

export const scheduled = (observedGeneration = 1) =>
  condition('Scheduled', 'True', { reason: 'Placed', message: 'placed on node node-a', observedGeneration });
export const nodeLost = () => condition('Ready', 'Unknown', { reason: 'NodeLost' });

export function btrfsNodeOf(status: Partial<BtrfsNodeStatus> = {}, metadata: Partial<ObjectMeta> = {}): BtrfsNode {
  return parseBtrfsNode({
    apiVersion: API_VERSION,
    kind: 'BtrfsNode',
    metadata: { name: 'node-a', uid: 'uid-bn', resourceVersion: '3', generation: 1, ...metadata },
    status: { allocatableBytes: 10 * 2 ** 30, conditions: [condition('Ready', 'True')], ...status },
  });
}

export const ownedBy = (uid: string) => ({
  ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'node-a', uid }],
});

export function nodeOf(uid = 'uid-node', labels: Record<string, string> = {}): Node {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-a', uid, resourceVersion: '1', labels } };
}
