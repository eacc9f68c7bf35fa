import type { KubeObject } from '../../kube/object.ts';

/** A JSON patch (RFC 6902) that fails if the object is no longer the one that was looked at. */
export type JsonPatch = readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];

/** Adds a finalizer and leaves those of others. The caller has seen that it is not there. */
export function addFinalizerPatch({ metadata }: KubeObject, finalizer: string): JsonPatch {
  const isFirst = metadata.finalizers === undefined || metadata.finalizers.length === 0;
  return [
    sameVersion(metadata.resourceVersion),
    isFirst
      ? { op: 'add', path: '/metadata/finalizers', value: [finalizer] }
      : { op: 'add', path: '/metadata/finalizers/-', value: finalizer },
  ];
}

/** Removes a finalizer and leaves those of others. The caller has seen that it is there. */
export function removeFinalizerPatch({ metadata }: KubeObject, finalizer: string): JsonPatch {
  const path = `/metadata/finalizers/${metadata.finalizers?.indexOf(finalizer)}`;
  return [sameVersion(metadata.resourceVersion), { op: 'test', path, value: finalizer }, { op: 'remove', path }];
}

function sameVersion(resourceVersion: string) {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}
