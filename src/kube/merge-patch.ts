import { isDeepStrictEqual } from 'node:util';

type Fields = Readonly<Record<string, unknown>>;

/** The merge patch (RFC 7386) that makes the one of the other: nothing of what is equal, `null` for what has to go. */
export function mergePatchOf(from: object, to: object): Fields {
  const [before, after] = [from as Fields, to as Fields];
  const patch: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [before[key], after[key]];
    if (isDeepStrictEqual(was, is)) continue;
    patch[key] = is === undefined ? null : isFields(was) && isFields(is) ? mergePatchOf(was, is) : is;
  }
  return patch;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
