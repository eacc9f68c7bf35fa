import { z } from 'zod';
import type { ResourceType } from './resource-type.ts';

const entrySchema = z.object({
  manager: z.string().default(''),
  operation: z.string().default(''),
  subresource: z.string().default(''),
  fieldsV1: z.unknown(),
});

/** One writer of an object, and what the API server takes it to have written (metav1.ManagedFieldsEntry). */
export type ManagedFieldsEntry = z.infer<typeof entrySchema>;

export interface Managed<T> {
  readonly object: T;
  readonly managedFields: readonly ManagedFieldsEntry[];
}

/** The same kind, with who has written what: half as large again, so for a look at one object. */
export function managedType<T>(type: ResourceType<T>): ResourceType<Managed<T>> {
  const schema = z.object({ metadata: z.object({ managedFields: z.array(entrySchema).default([]) }) });
  return {
    ...type,
    parse: (raw) => ({ object: type.parse(raw), managedFields: schema.parse(raw).metadata.managedFields }),
  };
}

/**
 * The field has the value that this manager applied last: whoever gives it another value takes it over. `path` as in fieldsV1, such as
 * `f:status`, `k:{"type":"Ready"}`.
 */
export function isAppliedBy(
  managedFields: readonly ManagedFieldsEntry[],
  { manager, subresource }: { readonly manager: string; readonly subresource: string },
  path: readonly string[],
): boolean {
  return managedFields.some(
    (entry) =>
      entry.manager === manager &&
      entry.operation === 'Apply' &&
      entry.subresource === subresource &&
      path.reduce<unknown>(childOf, entry.fieldsV1) !== undefined,
  );
}

function childOf(fields: unknown, name: string): unknown {
  return typeof fields === 'object' && fields !== null && Object.hasOwn(fields, name)
    ? (fields as Record<string, unknown>)[name]
    : undefined;
}
