import type { z } from 'zod';

/** Enough to recognise a value by; it comes from users and goes into logs and conditions. */
const QUOTED_MAX_LENGTH = 80;
/** After so many rounds of leaving out what can't be read, all of it is left out. */
const MAX_ROUNDS = 100;

/** What an object's spec holds that this version can't read. */
export interface Unreadable {
  /** Names kind, object, field and value. */
  readonly message: string;
  /** The rest can be worked on as if the field had been left out. */
  readonly goesOn: boolean;
}

/** How objects of a kind are read if something in them can't be. */
export interface StandIns {
  /** In the place of fields of spec that have to be there, and of those whose default would do harm. */
  readonly spec: Readonly<Record<string, unknown>>;
  /** Fields of spec without which the rest is worked on: their values say how, not what. */
  readonly goesOnWithout: readonly string[];
}

/**
 * `raw` by `schema`: unknown keys dropped (a newer CRD may have them), nulls read as absence, defaults applied. What can't be read of
 * spec is left out or stood in for, and {@link unreadableOf} tells of it: an object is never invisible, and can always be deleted.
 * What can't be read of status is left out: status is no input. Throws TypeError, which names kind, object and field, if the kind or
 * metadata is wrong.
 */
export function parseObject<Schema extends z.ZodType>(
  kind: string,
  schema: Schema,
  raw: unknown,
  standIns: StandIns = { spec: {}, goesOnWithout: [] },
): z.infer<Schema> {
  const read = withoutNulls(raw);
  let result = schema.safeParse(read);
  let unreadable: Unreadable | undefined;
  for (let round = 0; !result.success; round++) {
    // One at a time: what is left out with it may have been all that the others are about.
    const [issue] = result.error.issues;
    const path = issue?.path ?? [];
    const [part, field] = path;
    const message = messageOf(kind, raw, path, issue?.message ?? 'invalid');
    if ((part !== 'spec' && part !== 'status') || round > MAX_ROUNDS) throw new TypeError(message);
    if (part === 'spec') {
      const goesOn = standIns.goesOnWithout.includes(String(field));
      if (unreadable === undefined || (unreadable.goesOn && !goesOn)) unreadable = { message, goesOn };
    }
    leaveOut(read as Fields, round >= MAX_ROUNDS - 1 ? [part] : path, standIns.spec);
    result = schema.safeParse(read);
  }
  return unreadable === undefined ? result.data : ({ ...(result.data as object), unreadable } as z.infer<Schema>);
}

/** What could not be read of an object made by {@link parseObject}. */
export function unreadableOf(object: object): Unreadable | undefined {
  return (object as { readonly unreadable?: Unreadable }).unreadable;
}

/** Why nothing is done with an object but to delete it; `undefined` if it can be worked on. */
export function whyLeftAlone(object: object): string | undefined {
  const unreadable = unreadableOf(object);
  if (unreadable === undefined || unreadable.goesOn) return undefined;
  return `${unreadable.message}; correct the field, or update the operator; until then the object is left alone, and can be deleted`;
}

type Fields = Record<PropertyKey, unknown>;

/** Takes the value at the path out, or what it belongs to if it is not there, and puts in its place what stands in for it. */
function leaveOut(object: Fields, path: readonly PropertyKey[], standIns: StandIns['spec']): void {
  const [part = '', field] = path;
  if (part === 'spec' && (path.length === 1 || typeof object.spec !== 'object')) object.spec = { ...standIns };
  else if (path.length === 1) object[part] = {};
  else if (part === 'spec' && path.length === 2) replace(object.spec as Fields, field ?? '', standIns);
  else {
    const parentPath = path.slice(0, -1);
    const parent = parentPath.reduce<unknown>((value, key) => (value as Fields | undefined)?.[key], object);
    const key = path.at(-1) ?? '';
    if (Array.isArray(parent) && typeof key === 'number') parent.splice(key, 1);
    else if (typeof parent === 'object' && parent !== null && Object.hasOwn(parent, key))
      delete (parent as Fields)[key];
    else leaveOut(object, parentPath, standIns);
  }
}

function replace(spec: Fields, field: PropertyKey, standIns: StandIns['spec']): void {
  if (Object.hasOwn(standIns, field)) spec[field] = standIns[String(field)];
  else delete spec[field];
}

function messageOf(kind: string, raw: unknown, path: readonly PropertyKey[], what: string): string {
  const field = path.length === 0 ? 'the object' : path.join('.');
  const value = path.reduce<unknown>((parent, key) => (parent as Fields | null | undefined)?.[key], raw);
  return `cannot read ${kind} ${nameOf(raw)}: ${field}: ${what}; got ${quoted(value)}`;
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
