import { ApiError, isInvalid } from '../kube/errors.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import type { PatchOptions, ResourceClient } from '../kube/resource-client.ts';

/** A JSON patch (RFC 6902) that fails if the object is no longer the one that was looked at. */
export type JsonPatch = readonly { readonly op: string; readonly path: string; readonly value?: unknown }[];

/** The first operation of such a patch. */
export function sameVersion({ metadata }: KubeObject): JsonPatch[number] {
  return { op: 'test', path: '/metadata/resourceVersion', value: metadata.resourceVersion };
}

/** The object with the patch; throws a conflict if it has changed since it was looked at. */
export async function patchTested<T extends KubeObject>(
  client: ResourceClient<T>,
  object: KubeObject,
  patch: JsonPatch,
  options: Omit<PatchOptions, 'type'>,
): Promise<T> {
  try {
    return await client.patch(keyOf(object), patch, { ...options, type: 'json' });
  } catch (error) {
    // How the server answers a `test` that does not hold: the object has changed.
    if (isInvalid(error)) throw new ApiError(409, 'Conflict', 'the object has changed meanwhile', { cause: error });
    throw error;
  }
}
