import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { crdOf, openApiOf } from '../../../src/api/crd.ts';
import { kinds } from '../../../src/api/kinds.ts';
import { rules } from '../../../src/api/schema.ts';
import { type StructuralSchema, toStructural } from '../../../src/api/structural.ts';
import { generatedFiles, staleFiles } from '../../../tools/generate.ts';

/** Every schema below `schema` with its path; metadata, apiVersion and kind are the API server's. */
function walk(schema: StructuralSchema, path = ''): [string, StructuralSchema][] {
  const fields = Object.entries(schema.properties ?? {}).filter(
    ([name]) => path !== '' || ['spec', 'status'].includes(name),
  );
  return [
    [path, schema],
    ...fields.flatMap(([name, child]) => walk(child, `${path}.${name}`)),
    ...(schema.items ? walk(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? walk(schema.additionalProperties, `${path}.*`) : []),
  ];
}

describe.each(kinds.map((kind) => [kind.kind, kind] as const))('%s', (name, kind) => {
  const fields = walk(openApiOf(kind));

  test(`${name}: every field has a description`, () => {
    const fieldsOnly = fields.filter(([path]) => !path.endsWith('[]') && !path.endsWith('.*'));
    expect(fieldsOnly.filter(([, { description = '' }]) => description === '').map(([path]) => path)).toEqual([]);
    expect(fieldsOnly.length).toBeGreaterThan(10);
  });

  test(`${name}: every string, list and map is bounded`, () => {
    const unbounded = fields.filter(
      ([, { type, enum: values, maxLength, maxItems, additionalProperties, maxProperties }]) =>
        (type === 'string' && values === undefined && maxLength === undefined) ||
        (type === 'array' && maxItems === undefined) ||
        (additionalProperties !== undefined && maxProperties === undefined),
    );
    expect(unbounded.map(([path]) => path)).toEqual([]);
  });

  test(`${name}: every integer says its width, and every list how it is merged`, () => {
    const odd = fields.filter(
      ([, schema]) =>
        (schema.type === 'integer' && schema.format === undefined) ||
        (schema.type === 'array' && schema['x-kubernetes-list-type'] === undefined),
    );
    expect(odd.map(([path]) => path)).toEqual([]);
  });

  test(`${name}: every rule has a message that says what must be, without a double negative`, () => {
    const messages = fields.flatMap(([, schema]) =>
      (schema['x-kubernetes-validations'] ?? []).map(({ message }) => message),
    );
    expect(messages.filter((message) => !/^(must|is|has|cannot) /.test(message))).toEqual([]);
    expect(messages.filter((message) => /\b(not|cannot|no)\b.*\b(not|cannot|no|un\w+)\b/.test(message))).toEqual([]);
  });

  test(`${name}: printer columns and selectable fields point at fields that exist`, () => {
    const paths = [...kind.printerColumns.map(({ jsonPath }) => jsonPath), ...kind.selectableFields];
    const known = new Set([...fields.map(([path]) => path.replaceAll('[]', '')), '.metadata.creationTimestamp']);
    expect(paths.filter((path) => !known.has(path.replace(/\[\?\([^)]*\)\]/, '')))).toEqual([]);
  });

  test(`${name}: conditions and reasons are CamelCase and explained`, () => {
    const terms = [...Object.entries(kind.conditionTypes), ...Object.entries(kind.reasons)];
    expect(terms.filter(([word, { meaning }]) => !/^[A-Z][A-Za-z]+$/.test(word) || meaning === '')).toEqual([]);
  });
});

test('crdOf: status has a default that kstatus reads as work in progress', () => {
  for (const kind of kinds) {
    const schema = crdOf(kind).spec.versions[0]?.schema.openAPIV3Schema;
    expect(schema?.properties?.status?.default).toMatchObject({ observedGeneration: -1 });
  }
});

describe('toStructural', () => {
  test.each([
    ['.refine()', z.object({ a: z.string().refine(() => true) }), /a: the API server does not enforce \.refine/],
    ['a pattern with flags', z.object({ a: z.string().regex(/a/i) }), /patterns have no flags/],
    ['.trim()', z.object({ a: z.string().trim() }), /does not change values/],
    ['a union', z.object({ a: z.union([z.string(), z.boolean()]) }), /the schema\.a: a union is not structural/],
    ['two patterns', z.object({ a: z.string().regex(/^a/).regex(/b$/) }), /the schema\.a: .* no keyword allOf/],
    ['a strict object', z.object({ a: z.strictObject({}) }), /the schema\.a/],
    ['a loose object', z.object({ a: z.looseObject({}) }), /the schema\.a/],
    ['any', z.object({ a: z.any() }), /the schema\.a: .* needs a type/],
    ['.readonly()', z.object({ a: z.string().readonly() }), /no keyword readOnly/],
    ['.nullable()', z.object({ a: z.string().nullable() }), /no keyword nullable/],
    ['an id', z.object({ a: z.string().meta({ id: 'x' }) }), /no keyword definitions/],
    ['a date', z.object({ a: z.date() }), /Date/],
  ])('toStructural: refuses %s', (_what, schema, message) => {
    expect(() => toStructural(schema)).toThrow(message);
  });

  test('toStructural: writes int-or-string and integers as they can be read, and drops what says nothing', () => {
    const schema = z.object({
      size: z.union([z.int(), z.string()]).meta({ 'x-kubernetes-int-or-string': true }),
      count: z.int().default(3),
      mode: z
        .string()
        .regex(/^a$/)
        .meta(rules({ rule: "self.matches(r'^a$')", message: 'must be a' }))
        .optional(),
      plain: z.string().regex(/^a$/).optional(),
    });
    expect(toStructural(schema).properties).toEqual({
      size: { 'x-kubernetes-int-or-string': true },
      count: { type: 'integer', maximum: Number.MAX_SAFE_INTEGER, default: 3 },
      mode: { type: 'string', 'x-kubernetes-validations': [{ rule: "self.matches(r'^a$')", message: 'must be a' }] },
      plain: { type: 'string', pattern: '^a$' },
    });
    expect(toStructural(schema).required).toEqual(['size']);
  });
});

test('generatedFiles: what is checked in is what src/api says', () => {
  expect(staleFiles(new URL('../../..', import.meta.url).pathname)).toEqual([]);
});

test('generatedFiles: no CRD is too large for client-side apply, and none has braces that Helm would read', () => {
  const crds = [...generatedFiles()].filter(([file]) => file.startsWith('crds/'));
  expect(crds).toHaveLength(kinds.length);
  for (const [, yaml] of crds) {
    expect(Buffer.byteLength(yaml)).toBeLessThan(256 * 1024);
    expect(yaml).not.toContain('{{');
  }
});
