import { z } from 'zod';
import { matching, text } from './schema.ts';

/** Reference by name to an object of this group in the same namespace. */
export function reference() {
  return z.object({ name: text(253).min(1).describe('Name of the object, in the same namespace.') });
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
