import { z } from 'zod';
import { parseQuantity, type Quantity } from './quantity.ts';

/** The shapes that the kinds share, and how a CEL rule is written on a schema. What is put into `.meta()` reaches the CRD as it is. */

/** One entry of `x-kubernetes-validations`. */
export interface CelRule {
  readonly rule: string;
  /** What is to be done, for people; used as it is, or if messageExpression fails. */
  readonly message: string;
  /** A CEL expression for the message that quotes limit and value. */
  readonly messageExpression?: string;
  /** The field that the message names, relative to the schema with the rule, e.g. `.nodeName`. */
  readonly fieldPath?: string;
  /** The rule is looked at on creation too, and oldSelf is an optional value (KEP-2876, Kubernetes 1.33). */
  readonly optionalOldSelf?: true;
}

/** For `.meta()`: what the API server enforces. `.refine` never reaches the server: only beside a keyword or rule that says the same, see {@link enforcedBy}. */
export function rules(...list: readonly CelRule[]) {
  return { 'x-kubernetes-validations': list };
}

/** For `.refine()`: the API server enforces the same by a keyword or rule in `.meta()`. */
export function enforcedBy(keyword: string) {
  return { params: { enforcedBy: keyword } };
}

/**
 * A string of `maxLength` characters at most, counted as the API server does: zod's own limit counts an emoji as two. Unbounded
 * strings are refused by the server's cost estimate of CEL rules.
 */
export function text(maxLength: number) {
  return z
    .string()
    .refine((value) => value.length <= maxLength || [...value].length <= maxLength, {
      ...enforcedBy('maxLength'),
      message: `must have ${maxLength} characters or less`,
    })
    .meta({ maxLength });
}

/** A string that must match `pattern` (RE2, no look-around); the server answers anything else with `message` and the value. */
export function matching(pattern: RegExp, maxLength: number, message: string) {
  const rule = `self.matches(r'${pattern.source}')`;
  return text(maxLength)
    .regex(pattern)
    .meta({ maxLength, ...rules({ rule, message, messageExpression: `${celString(`${message}; got `)} + self` }) });
}

/** An int64. */
export function wholeNumber() {
  return z.int().meta({ format: 'int64' });
}

/** Bytes in status. */
export function byteCount() {
  return wholeNumber().min(0).optional();
}

/** RFC 3339. */
export function time() {
  return text(64).meta({ format: 'date-time' });
}

/** A list that the API server merges by `key`, so that several writers can own an entry each. */
export function listMap<Item extends z.ZodObject>(item: Item, key: string, maxItems: number) {
  return z
    .array(item)
    .max(maxItems)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': [key] });
}

/** A list that has one writer. */
export function atomicList<Item extends z.ZodType>(item: Item, maxItems: number) {
  return z.array(item).max(maxItems).meta({ 'x-kubernetes-list-type': 'atomic' });
}

/** Longest text of a quantity that is looked at; 16Ti in bytes has 14 digits. */
const QUANTITY_MAX_LENGTH = 32;

/**
 * A Kubernetes quantity, number or string, between `min` and `max` (themselves quantities). One rule: each would say the same of a
 * number with a fraction, which none of them is asked about.
 */
export function quantity(min: string, max: string) {
  const isQuantity = 'isQuantity(string(self))';
  const compared = (limit: string) => `quantity(string(self)).compareTo(quantity('${limit}'))`;
  const message = 'must be a quantity such as 500Mi, 1.5Gi or 1073741824';
  return z
    .union([z.int(), text(QUANTITY_MAX_LENGTH)])
    .refine(isReadable, { ...enforcedBy(isQuantity), message })
    .meta({
      'x-kubernetes-int-or-string': true,
      maxLength: QUANTITY_MAX_LENGTH,
      ...rules({
        rule: `${isQuantity} && ${compared(min)} >= 0 && ${compared(max)} <= 0`,
        message,
        messageExpression: `(!${isQuantity} ? "${message}" : ${compared(min)} < 0 ? "must be ${min} or more" : "must be ${max} or less") + "; got " + string(self)`,
      }),
    });
}

function isReadable(value: Quantity): boolean {
  try {
    parseQuantity(value);
    return true;
  } catch {
    return false;
  }
}

function celString(value: string): string {
  return JSON.stringify(value);
}

const ownerReference = z.object({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().exactOptional(),
  blockOwnerDeletion: z.boolean().exactOptional(),
});

/** What is read of `metadata`; the API server validates it by itself, so the CRD holds no schema of it. */
export const objectMeta = z.object({
  name: z.string(),
  namespace: z.string().exactOptional(),
  uid: z.string(),
  resourceVersion: z.string(),
  generation: z.int().exactOptional(),
  labels: z.record(z.string(), z.string()).exactOptional(),
  annotations: z.record(z.string(), z.string()).exactOptional(),
  finalizers: z.array(z.string()).exactOptional(),
  deletionTimestamp: z.string().exactOptional(),
  creationTimestamp: z.string().exactOptional(),
  ownerReferences: z.array(ownerReference).exactOptional(),
});
