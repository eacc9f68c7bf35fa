import type { z } from 'zod';

/** Enough to recognise a value by; it comes from users and goes into logs and conditions. */
const QUOTED_MAX_LENGTH = 80;

/**
 * `raw` by `schema`: unknown keys dropped (a newer CRD may have them), nulls read as absence, defaults applied.
 * Throws TypeError that names kind, object and the first field that is wrong.
 */
export function parseObject<Schema extends z.ZodType>(kind: string, schema: Schema, raw: unknown): z.infer<Schema> {
  const result = schema.safeParse(withoutNulls(raw));
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path ?? [];
  const field = path.length === 0 ? 'the object' : path.join('.');
  const value = path.reduce<unknown>((parent, key) => (parent as Record<PropertyKey, unknown>)[key], raw);
  throw new TypeError(
    `cannot read ${kind} ${nameOf(raw)}: ${field}: ${issue?.message ?? 'invalid'}; got ${quoted(value)}`,
  );
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, child]) => child !== null);
  return Object.fromEntries(entries.map(([key, child]) => [key, withoutNulls(child)]));
}

function quoted(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, QUOTED_MAX_LENGTH);
}

function nameOf(raw: unknown): string {
  const metadata = (raw as { metadata?: { namespace?: unknown; name?: unknown } | null } | null | undefined)?.metadata;
  const parts = [metadata?.namespace, metadata?.name].filter((part) => typeof part === 'string');
  return parts.length === 0 ? '(without a name)' : parts.join('/');
}
