import { VOLUME_FINALIZER } from '../../api/group.ts';
import type { LoopbackVolume } from '../../api/loopback-volume.ts';

/** A JSON patch (RFC 6902) that fails if the object is no longer the one that was looked at. */
export type JsonPatch = readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];

/** Adds our finalizer and leaves those of others. The caller has seen that it is not there. */
export function addFinalizerPatch({ metadata }: LoopbackVolume): JsonPatch {
  const isFirst = metadata.finalizers === undefined || metadata.finalizers.length === 0;
  return [
    sameVersion(metadata.resourceVersion),
    isFirst
      ? { op: 'add', path: '/metadata/finalizers', value: [VOLUME_FINALIZER] }
      : { op: 'add', path: '/metadata/finalizers/-', value: VOLUME_FINALIZER },
  ];
}

/** Removes our finalizer and leaves those of others. The caller has seen that it is there. */
export function removeFinalizerPatch({ metadata }: LoopbackVolume): JsonPatch {
  const path = `/metadata/finalizers/${metadata.finalizers?.indexOf(VOLUME_FINALIZER)}`;
  return [sameVersion(metadata.resourceVersion), { op: 'test', path, value: VOLUME_FINALIZER }, { op: 'remove', path }];
}

function sameVersion(resourceVersion: string) {
  return { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion };
}
