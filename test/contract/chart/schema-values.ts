/** A part of values.schema.json. */
// biome-ignore lint/suspicious/noExplicitAny: a schema is anything
export type ValueSchema = any;
type Definitions = Readonly<Record<string, ValueSchema>>;

/** The values at the ends of the schema's branches, with the names that --set-json has for them. */
export function leavesOf(
  schema: ValueSchema,
  definitions: Definitions,
  prefix = '',
): { name: string; schema: ValueSchema }[] {
  const resolved = resolve(schema, definitions);
  if (resolved.properties === undefined) return [{ name: prefix.slice(0, -1), schema: resolved }];
  return Object.entries(resolved.properties).flatMap(([name, one]) => leavesOf(one, definitions, `${prefix}${name}.`));
}

function resolve(schema: ValueSchema, definitions: Definitions): ValueSchema {
  return schema.$ref === undefined ? schema : definitions[schema.$ref.replace('#/definitions/', '')];
}

/** What of JSON Schema the chart uses: whether a value is taken. */
export function accepts(schema: ValueSchema, value: unknown, definitions: Definitions): boolean {
  const {
    type,
    enum: words,
    const: word,
    not,
    oneOf,
    pattern,
    minimum,
    maximum,
    minLength,
    maxLength,
    items,
  } = resolve(schema, definitions);
  if (word !== undefined && value !== word) return false;
  if (words !== undefined && !words.includes(value)) return false;
  if (type !== undefined && ![type].flat().some((one: string) => isOf(one, value))) return false;
  if (not !== undefined && accepts(not, value, definitions)) return false;
  if (oneOf !== undefined && oneOf.filter((one: ValueSchema) => accepts(one, value, definitions)).length !== 1)
    return false;
  if (typeof value === 'string') {
    if (value.length < (minLength ?? 0) || value.length > (maxLength ?? Number.POSITIVE_INFINITY)) return false;
    return pattern === undefined || new RegExp(pattern).test(value);
  }
  if (typeof value === 'number') return value >= (minimum ?? value) && value <= (maximum ?? value);
  if (Array.isArray(value)) return items === undefined || value.every((one) => accepts(items, one, definitions));
  return true;
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  return typeof value === type && !Array.isArray(value);
}

/** Values at the limits of the schema, and those that some reader has stumbled over once. */
export function sharpValues({ enum: words = [], minimum, maximum }: ValueSchema): readonly unknown[] {
  const limits = [minimum, maximum].filter((limit) => limit !== undefined);
  const quantities = [
    '0',
    '1',
    '1Ki',
    '999999999999999',
    '999999999999k',
    '999999999.999999999Mi',
    '7999.9T',
    '7.9P',
    '7.9Pi',
    '8Pi',
    '9P',
    '1e3',
    '1E',
    '1m',
    '-1',
    '+1',
    '.5',
    '5.',
    '0x10',
    'Auto',
    'None',
    '',
  ];
  const numbers = [0, 1, 0.1, 0.25, 1.5, 40.5, 99.999999, 2 ** 31, 1e21, -1, 0.000001];
  const texts = [
    'a',
    'a.b',
    'A',
    'a b',
    'a: b',
    '#a',
    '"',
    "'",
    '{{ . }}',
    '-a',
    'a-',
    '1',
    '1.5',
    'true',
    'null',
    '~',
    'x'.repeat(63),
    'x'.repeat(254),
  ];
  const lists = [
    [],
    ['https://example.com'],
    ['https://example.com:65499/a/b/'],
    ['https://1.2.3.4/a'],
    ['https://256.1.1.1'],
    ['https://a.1'],
    ['https://x:99999'],
    ['https://x/%zz'],
    ['https://x/%2e'],
    ['https://x/..;/a'],
    ['http://x'],
  ];
  return [...limits, ...words, true, false, ...quantities, ...numbers, ...texts, ...lists];
}
