import { z } from 'zod';
import { matching } from './schema.ts';

/** What the API server takes for the name of an object (RFC 1123 subdomain). */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** Reference by name to an object of this group in the same namespace. */
export function reference() {
  const name = matching(OBJECT_NAME, 253, 'must be the name of an object, in lower case letters, digits, - and .');
  return z.object({ name: name.describe('Name of the object, in the same namespace.') });
}

/** One component of a path that cannot be `.`, `..` or hidden, and needs no quoting anywhere. */
const FILE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** Name of a file in one of the operator's directories, never a path. */
export function fileName() {
  return matching(
    FILE_NAME,
    200,
    'must be a plain file name of letters, digits, ., - and _, beginning with a letter or digit',
  );
}
