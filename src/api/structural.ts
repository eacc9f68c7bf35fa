import { z } from 'zod';
import type { CelRule } from './schema.ts';

/** A structural OpenAPI v3 schema as CustomResourceDefinitions have it. */
export interface StructuralSchema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  description?: string;
  default?: unknown;
  format?: string;
  enum?: readonly unknown[];
  properties?: Record<string, StructuralSchema>;
  required?: readonly string[];
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  pattern?: string;
  'x-kubernetes-int-or-string'?: true;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: readonly string[];
  'x-kubernetes-validations'?: readonly CelRule[];
}

/** Keywords that reach the CRD as zod writes them, in this order. */
const KEPT: readonly string[] = [
  'description',
  'type',
  'format',
  'default',
  'enum',
  'required',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'pattern',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-validations',
];
const CONVERTED: readonly string[] = ['properties', 'items', 'additionalProperties', 'anyOf'];

type JsonSchema = Readonly<Record<string, unknown>>;

/** The structural schema of a zod schema. Throws TypeError, naming the field, on what the API server would refuse or not enforce. */
export function toStructural(schema: z.ZodType): StructuralSchema {
  const json = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    unrepresentable: 'throw',
    cycles: 'throw',
    reused: 'inline',
    override: ({ zodSchema, path }) => rejectUnenforced(zodSchema, path.join('.')),
  });
  return convert(json as JsonSchema, 'the schema');
}

/** zod drops these checks without a word when it writes a JSON schema; the API server would never hear of them. */
function rejectUnenforced(schema: z.core.$ZodType, path: string): void {
  for (const check of schema._zod.def.checks ?? []) {
    const def: z.core.$ZodCheckDef & { readonly pattern?: unknown } = check._zod.def;
    if (def.check === 'custom' && !isEnforced(def))
      throw new TypeError(`${path}: the API server does not enforce .refine(); write a CEL rule`);
    if (def.check === 'overwrite')
      throw new TypeError(`${path}: the API server does not change values, remove .trim() and the like`);
    if (def.pattern instanceof RegExp && def.pattern.flags !== '')
      throw new TypeError(`${path}: patterns have no flags in a CRD`);
  }
}

/** See `enforcedBy` of schema.ts. */
function isEnforced(def: z.core.$ZodCheckDef & { readonly params?: { readonly enforcedBy?: unknown } }): boolean {
  return typeof def.params?.enforcedBy === 'string';
}

function convert(json: JsonSchema, path: string): StructuralSchema {
  const out: Record<string, unknown> = {};
  const unknown = Object.keys(json).find((key) => !KEPT.includes(key) && !CONVERTED.includes(key));
  if (unknown !== undefined) throw new TypeError(`${path}: a structural schema has no keyword ${unknown}`);
  for (const key of KEPT) if (json[key] !== undefined) out[key] = json[key];
  dropNoise(out);
  // Without zod's two alternatives: the API server answers a fraction with the types, not with "must validate at least one schema".
  if (json['x-kubernetes-int-or-string'] === true) return out;
  if (json.anyOf !== undefined) throw new TypeError(`${path}: a union is not structural; use one type and CEL rules`);
  if (out.type === undefined) throw new TypeError(`${path}: a structural schema needs a type`);
  return { ...out, ...children(json, path) };
}

/** Integers are as zod reads them, up to 2^53 − 1 (JSON in JavaScript holds no more); its lower bound says nothing. A pattern that a CEL rule repeats would be a second, less readable refusal. */
function dropNoise(out: Record<string, unknown>): void {
  if (out.minimum === Number.MIN_SAFE_INTEGER) delete out.minimum;
  const validations = (out['x-kubernetes-validations'] ?? []) as readonly CelRule[];
  if (validations.some(({ rule }) => rule.includes(String(out.pattern)))) delete out.pattern;
}

function children(json: JsonSchema, path: string): StructuralSchema {
  const out: StructuralSchema = {};
  if (json.properties !== undefined) {
    const entries = Object.entries(json.properties as Record<string, JsonSchema>);
    out.properties = Object.fromEntries(entries.map(([name, child]) => [name, convert(child, `${path}.${name}`)]));
  }
  if (json.items !== undefined) out.items = convert(json.items as JsonSchema, `${path}[]`);
  if (json.additionalProperties !== undefined) {
    out.additionalProperties = convert(json.additionalProperties as JsonSchema, `${path}.*`);
  }
  return out;
}
