import { beforeAll, expect, test } from 'vitest';
import { openApiOf } from '../../../src/api/crd.ts';
import { API_VERSION } from '../../../src/api/group.ts';
import type { KindDefinition } from '../../../src/api/kind.ts';
import { kinds } from '../../../src/api/kinds.ts';
import { unreadableOf } from '../../../src/api/parse.ts';
import type { StructuralSchema } from '../../../src/api/structural.ts';
import { watchedTypes } from '../../../src/controller/watched.ts';
import { createRoom, type Room } from './objects.ts';

let room: Room;
beforeAll(async () => {
  room = await createRoom();
});

const bases: Readonly<Record<string, object>> = {
  LoopbackVolume: { size: '1Gi', nodeName: 'node-a', mounted: false },
  Snapshot: { volumeRef: { name: 'v' }, access: 'ReadWrite' },
  BuildCache: { volumeRef: { name: 'v' } },
  BuildCacheClaim: { cacheRef: { name: 'c' } },
  BtrfsNode: {},
};

type Path = readonly string[];

/** Every field of a schema with its path; `[]` is an entry of a list, `*` one of a map. */
function fieldsOf(schema: StructuralSchema, path: Path): [Path, StructuralSchema][] {
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => fieldsOf(child, [...path, name]));
  const items = schema.items === undefined ? [] : fieldsOf(schema.items, [...path, '[]']);
  const values = schema.additionalProperties === undefined ? [] : fieldsOf(schema.additionalProperties, [...path, '*']);
  return [[path, schema], ...below, ...items, ...values];
}

/** Values at the bounds of what a schema takes, and a little beyond: the API server says which of them are any. */
function candidatesOf(schema: StructuralSchema): unknown[] {
  if (schema['x-kubernetes-int-or-string'] === true) {
    return [
      ...[0, 1, 114294784, 2 ** 44, 2 ** 53, 9.5, '1e0009', '1e+0009', '+1Gi', '1.Gi', '.5Gi', '1e4294967305', '', '+'],
      ...['0.0000000000000000000001e31', '-0', 'Ki', '1E9', '1500000000000m', '17592186044416', '1e-9', null],
    ];
  }
  switch (schema.type) {
    case 'integer': {
      const { minimum = 0, maximum = 0 } = schema;
      const large = ['9007199254740991', '9007199254740992', '9007199254740993', '9223372036854775807', '1e3', '-1'];
      return [minimum, maximum, minimum - 1, maximum + 1, 1.5, 2 ** 53, null, ...large.map(Number)];
    }
    case 'boolean':
      return [true, false, null];
    case 'array':
      return [[], [null], null];
    case 'object':
      return [{}, null, { unheardOf: 1 }];
    default: {
      const { maxLength = 64 } = schema;
      const longest = '😀'.repeat(Math.min(maxLength, 2048));
      const odd = ['', '\u0000x\ud800y\n', '__proto__', 'a.b'];
      return [longest, ...odd, null, ...(schema.enum ?? [])];
    }
  }
}

/** The least that a field with this schema can hold. */
function leastOf(schema: StructuralSchema): unknown {
  if (schema['x-kubernetes-int-or-string'] === true) return '1Gi';
  if (schema.enum !== undefined) return schema.enum[0];
  if (schema.type === 'integer') return Math.max(1, schema.minimum ?? 0);
  if (schema.type === 'boolean') return true;
  if (schema.type === 'array') return [];
  if (schema.type !== 'object') return schema.format === 'date-time' ? '2026-11-21T10:00:00Z' : 'a';
  return Object.fromEntries((schema.required ?? []).map((name) => [name, leastOf(schema.properties?.[name] ?? {})]));
}

/** What `schema` takes around `value` at the path below it. */
function around(schema: StructuralSchema, path: Path, value: unknown, base: unknown = undefined): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return value;
  if (name === '[]') return [around(schema.items ?? {}, rest, value)];
  if (name === '*') return { key: around(schema.additionalProperties ?? {}, rest, value) };
  const own = (base ?? leastOf(schema)) as Record<string, unknown>;
  return { ...own, [name]: around(schema.properties?.[name] ?? {}, rest, value, own[name]) };
}

function typeOf({ kind }: KindDefinition) {
  const type = Object.values(watchedTypes).find((each) => each.kind === kind);
  if (type === undefined) throw new Error(`no type of ${kind}`);
  return type;
}

function pathOf({ plural, scope }: KindDefinition, name = ''): string {
  const namespace = scope === 'Cluster' ? '' : `/namespaces/${room.namespace}`;
  return `/apis/${API_VERSION}${namespace}/${plural}${name}`;
}

const mustRead = (definition: KindDefinition, body: object) => {
  const { metadata } = body as { metadata?: object };
  // A dry run makes none.
  const read = typeOf(definition).parse({ ...body, metadata: { resourceVersion: '1', ...metadata } }) as {
    spec: object;
    status: object;
  };
  expect(unreadableOf(read)).toBeUndefined();
  return read;
};

async function inBatches<T>(list: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...list];
  const worker = async () => {
    for (let item = rest.pop(); item !== undefined; item = rest.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

test.each(kinds.map((kind) => [kind.kind, kind] as const))(
  'F33 %s: whatever the API server takes in spec is read, and taken back as it was read',
  async (kind, definition) => {
    const schema = openApiOf(definition).properties?.spec ?? {};
    const cases = fieldsOf(schema, []).flatMap(([path, field]) =>
      candidatesOf(field).map((value) => ({ path, value })),
    );
    const create = (spec: unknown) => {
      const body = { apiVersion: API_VERSION, kind, metadata: { name: `${room.namespace}-dry` }, spec };
      return room.call(`${pathOf(definition)}?dryRun=All`, { method: 'POST', body });
    };
    let taken = 0;
    await inBatches(cases, async ({ path, value }) => {
      const answer = await create(around(schema, path, value, bases[kind]));
      if (answer.status !== 201) return;
      taken++;
      const { spec } = mustRead(definition, answer.body);
      const again = await create(spec);
      expect([again.status, again.body.message]).toEqual([201, undefined]);
    });
    expect(taken).toBeGreaterThan(kind === 'BtrfsNode' ? 0 : cases.length / 10);
  },
);

test.each(kinds.map((kind) => [kind.kind, kind] as const))(
  'F33 %s: whatever the API server takes in status is read, whole',
  async (kind, definition) => {
    const schema = openApiOf(definition).properties?.status ?? {};
    const name = `${room.namespace}-status`;
    const object = { apiVersion: API_VERSION, kind, metadata: { name }, spec: bases[kind] };
    const created = await room.call(pathOf(definition), { method: 'POST', body: object });
    expect(created.status).toBe(201);
    const cases = fieldsOf(schema, []).flatMap(([path, field]) =>
      candidatesOf(field).map((value) => ({ path, value })),
    );
    const path = `${pathOf(definition, `/${name}`)}/status?dryRun=All`;
    let taken = 0;
    await inBatches(cases, async (each) => {
      const status = around(schema, each.path, each.value, {});
      const body = { ...created.body, status };
      const answer = await room.call(path, { method: 'PUT', body });
      if (answer.status !== 200) return;
      taken++;
      expect(mustRead(definition, answer.body).status).toEqual(answer.body.status ?? { observedGeneration: -1 });
    });
    expect(taken).toBeGreaterThan(cases.length / 10);
    await room.call(pathOf(definition, `/${name}`), { method: 'DELETE' });
  },
);

test('F42 LoopbackVolume: a size with a fraction of a byte is refused in one clear line', async () => {
  const stdin = JSON.stringify({
    apiVersion: API_VERSION,
    kind: 'LoopbackVolume',
    metadata: { name: 'fraction' },
    spec: { size: 1073741824.5 },
  });
  const refused = await room.kubectl(['create', '-f-'], { stdin }).catch((error: unknown) => String(error));
  expect(refused).not.toContain('at least one schema');
  expect(refused).toMatch(
    /is invalid: spec\.size: Invalid value: [^\n]* either a string or integer [^\n]*: must be a quantity such as 500Mi, 1\.5Gi or 1073741824\s*$/,
  );
});
