import { type Condition, setCondition } from '../api/conditions.ts';
import type { KubeObject } from '../kube/object.ts';
import { type JsonPatch, sameVersion } from './tested-patch.ts';

interface Judged extends KubeObject {
  readonly status: { readonly conditions?: readonly Condition[] | undefined };
}

/**
 * Of the status: Ready=Unknown, NodeLost, and nothing else. What the silent agent had said stays as it was and remains its word, also
 * what a newer agent says and this version does not know.
 */
export function lostPatch(object: Judged, message: string, now: Date): JsonPatch {
  const { conditions: before = [] } = object.status;
  const observedGeneration = object.metadata.generation;
  const update = { type: 'Ready', status: 'Unknown', reason: 'NodeLost', message, observedGeneration } as const;
  const conditions = setCondition(before, update, now);
  if (before.length === 0) return [sameVersion(object), { op: 'add', path: '/status/conditions', value: conditions }];
  const index = conditions.findIndex(({ type }) => type === 'Ready');
  const path = `/status/conditions/${index}`;
  if (index === before.length) return [sameVersion(object), { op: 'add', path, value: conditions[index] }];
  return [
    sameVersion(object),
    { op: 'test', path: `${path}/type`, value: 'Ready' },
    { op: 'replace', path, value: conditions[index] },
  ];
}
