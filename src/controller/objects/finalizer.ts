import type { KubeObject } from '../../kube/object.ts';
import { type JsonPatch, sameVersion } from '../tested-patch.ts';

/** Adds a finalizer and leaves those of others. The caller has seen that it is not there. */
export function addFinalizerPatch(object: KubeObject, finalizer: string): JsonPatch {
  const { metadata } = object;
  const isFirst = metadata.finalizers === undefined || metadata.finalizers.length === 0;
  return [
    sameVersion(object),
    isFirst
      ? { op: 'add', path: '/metadata/finalizers', value: [finalizer] }
      : { op: 'add', path: '/metadata/finalizers/-', value: finalizer },
  ];
}

/** Removes a finalizer and leaves those of others. The caller has seen that it is there. */
export function removeFinalizerPatch(object: KubeObject, finalizer: string): JsonPatch {
  const path = `/metadata/finalizers/${object.metadata.finalizers?.indexOf(finalizer)}`;
  return [sameVersion(object), { op: 'test', path, value: finalizer }, { op: 'remove', path }];
}
