import { parseKey } from './object.ts';
import type { ResourceType } from './resource-type.ts';

type Located = Pick<ResourceType<unknown>, 'apiVersion' | 'plural' | 'namespaced' | 'kind'>;

/** Path of all objects of a kind, or of those in one namespace. */
export function collectionPath(type: Located, namespace?: string): string {
  const root = type.apiVersion.includes('/') ? `/apis/${type.apiVersion}` : `/api/${type.apiVersion}`;
  if (!type.namespaced || namespace === undefined) return `${root}/${type.plural}`;
  return `${root}/namespaces/${encodeURIComponent(namespace)}/${type.plural}`;
}

/**
 * Path of one object or of its subresource. Throws if the key lacks the namespace its kind needs, or has one it can't
 * have.
 */
export function objectPath(type: Located, key: string, subresource?: string): string {
  const { namespace, name } = parseKey(key);
  if (name === '' || type.namespaced !== (namespace !== undefined)) {
    throw new Error(`"${key}" is no key of a ${type.namespaced ? 'namespaced' : 'cluster-scoped'} ${type.kind}`);
  }
  const path = `${collectionPath(type, namespace)}/${encodeURIComponent(name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}
