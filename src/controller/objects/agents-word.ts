import { isTrue, removeCondition } from '../../api/conditions.ts';
import { agentManager } from '../../api/group.ts';
import { isAppliedBy, type Managed } from '../../kube/managed-fields.ts';
import type { PlacedObject } from './placed-kind.ts';

/**
 * The agent of its node has said, and nobody else has changed since, that nothing of the object is left there. An agent says so only of
 * what it has seen deleted, so it is true whatever was changed in spec since. Anybody who may write status can write such a condition;
 * the API server keeps who did (docs/decisions/0009-removal.md).
 */
export function isRemovedByAgent({ object, managedFields }: Managed<PlacedObject>): boolean {
  const { metadata, status } = object;
  return (
    metadata.deletionTimestamp !== undefined &&
    status.nodeName !== undefined &&
    isTrue(status.conditions, 'Removed') &&
    isAppliedBy(managedFields, { manager: agentManager(status.nodeName), subresource: 'status' }, [
      'f:status',
      'f:conditions',
      'k:{"type":"Removed"}',
      'f:status',
    ])
  );
}

/** The object as if nobody had said that it is removed. */
export function withoutWord<T extends PlacedObject>(object: T): T {
  return { ...object, status: { ...object.status, conditions: removeCondition(object.status.conditions, 'Removed') } };
}
