import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { crdOf, openApiOf } from '../src/api/crd.ts';
import { API_VERSION, GROUP } from '../src/api/group.ts';
import type { KindDefinition } from '../src/api/kind.ts';
import { kinds } from '../src/api/kinds.ts';
import type { TermTable } from '../src/api/reasons.ts';
import type { CelRule } from '../src/api/schema.ts';
import type { StructuralSchema } from '../src/api/structural.ts';
import { CHART_CRD_DIR, CHART_DIR, chartReadme, crdTemplate } from './chart-files.ts';
import { code, page, table } from './markdown.ts';

/** Path relative to the repository → content. */
type Files = ReadonlyMap<string, string>;

const OWNED_DIRS = ['crds', 'docs/api', CHART_CRD_DIR];
const ROOT = path.resolve(import.meta.dirname, '..');
const NOTICE = 'Generated from src/api by `npm run generate`; do not edit.';

/** Every file that is made from src/api, the CRDs and the API reference, and what the chart has of both and of its values. */
export function generatedFiles(): Files {
  const files = new Map<string, string>();
  for (const kind of kinds) {
    files.set(`crds/${kind.plural}.${GROUP}.yaml`, crdYaml(kind));
    files.set(`${CHART_CRD_DIR}/${kind.plural}.yaml`, crdTemplate(crdYaml(kind)));
    files.set(`docs/api/${kebabCase(kind.kind)}.md`, referencePage(kind));
  }
  files.set('docs/api/README.md', indexPage());
  files.set(`${CHART_DIR}/README.md`, chartReadme(ROOT));
  return files;
}

/** What differs between `root` and {@link generatedFiles}: paths of files that are missing, changed or no longer made. */
export function staleFiles(root: string): string[] {
  const files = generatedFiles();
  const changed = [...files].filter(([file, content]) => readIfThere(path.join(root, file)) !== content);
  return [...changed.map(([file]) => file), ...surplusFiles(root, files)].sort();
}

function writeFiles(root: string): void {
  const files = generatedFiles();
  for (const file of surplusFiles(root, files)) rmSync(path.join(root, file));
  for (const [file, content] of files) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), content);
  }
}

function surplusFiles(root: string, files: Files): string[] {
  const present = OWNED_DIRS.flatMap((dir) => listIfThere(path.join(root, dir)).map((name) => `${dir}/${name}`));
  return present.filter((file) => !files.has(file));
}

function listIfThere(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** YAML 1.1, which kubectl reads: a bare `Off` would be false there. */
function crdYaml(kind: KindDefinition): string {
  const yaml = stringify(crdOf(kind), { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false });
  return `# ${NOTICE}\n${yaml}`;
}

function kebabCase(kind: string): string {
  return kind.replace(/(?<=[a-z])[A-Z]/g, '-$&').toLowerCase();
}

function indexPage(): string {
  const rows = kinds.map(({ kind, shortNames, scope, schema }) => [
    `[${kind}](${kebabCase(kind)}.md)`,
    shortNames.map(code).join(', '),
    scope,
    schema.description ?? '',
  ]);
  return page(NOTICE, [
    '# API reference',
    `Everything is in \`${API_VERSION}\`. \`kubectl get btrfs\` lists all kinds; \`kubectl explain\` knows every field.`,
    table(['Kind', 'Short name', 'Scope', 'What it is'], rows),
    'Sizes in `spec` are quantities (`500Mi`, `1.5Gi`, `1073741824`), sizes in `status` are bytes. Leave a field out to get its default, instead of writing `null`. References name an object in the same namespace.',
  ]);
}

function referencePage(kind: KindDefinition): string {
  const { spec = {}, status = {} } = openApiOf(kind).properties ?? {};
  const name = kind.shortNames[0] ?? kind.plural;
  return page(NOTICE, [
    `# ${kind.kind}`,
    kind.schema.description ?? '',
    `\`${API_VERSION}\`, ${kind.scope === 'Cluster' ? 'cluster-scoped' : 'namespaced'}. Try \`kubectl get ${name} -o wide\`, \`kubectl explain ${name}.spec\`, \`kubectl wait --for=condition=Ready ${name}/NAME\`.`,
    ...section('Spec', spec),
    ...ruleSection(openApiOf(kind)),
    ...section('Status', status),
    '## Conditions',
    termTable('Type', kind.conditionTypes),
    '## Reasons',
    termTable('Reason', kind.reasons),
    '## Columns of kubectl get',
    table(
      ['Column', 'With', 'What it is'],
      kind.printerColumns.map(({ name, priority, description }) => [
        name,
        priority === 1 ? code('-o wide') : '',
        description,
      ]),
    ),
  ]);
}

function section(title: string, schema: StructuralSchema): string[] {
  const rows = fieldRows(schema, '');
  return [
    `## ${title}`,
    schema.description ?? '',
    rows.length === 0 ? '' : table(['Field', 'Type', 'Default', 'Description'], rows),
  ];
}

function fieldRows(schema: StructuralSchema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const isRequired = schema.required?.includes(name) === true;
    const value = field.default === undefined ? (isRequired ? 'required' : '') : code(JSON.stringify(field.default));
    const row = [code(prefix + name), typeOf(field), value, field.description ?? ''];
    const nested = field.items ? fieldRows(field.items, `${prefix}${name}[].`) : fieldRows(field, `${prefix}${name}.`);
    return [row, ...nested];
  });
}

function typeOf(field: StructuralSchema): string {
  if (field['x-kubernetes-int-or-string']) return 'quantity';
  if (field.enum) return field.enum.map((value) => code(String(value))).join(' or ');
  if (field.items) return `list of ${typeOf(field.items)}`;
  if (field.additionalProperties) return `map of ${typeOf(field.additionalProperties)}`;
  if (field.format === 'date-time') return 'time';
  return field.type ?? '';
}

/** What the API server refuses, in its own words. */
function ruleSection(root: StructuralSchema): string[] {
  const rows = ruleRows(root, '');
  return rows.length === 0
    ? []
    : [
        '## What is refused',
        `In the words of the API server, with … for what the object says.`,
        table(['Field', 'Message'], rows),
      ];
}

function ruleRows(schema: StructuralSchema, field: string): string[][] {
  const own = (schema['x-kubernetes-validations'] ?? []).map((rule) => [
    code(`${field}${rule.fieldPath ?? ''}`.replace(/^\./, '')),
    messageOf(rule),
  ]);
  const bounds = boundRow(schema, field.replace(/^\./, ''));
  const nested = Object.entries(schema.properties ?? {}).flatMap(([name, child]) =>
    ruleRows(child, `${field}.${name}`),
  );
  return [...own, ...bounds, ...nested];
}

/** What a person reads, with … for what comes from the object; of a CEL expression the texts in quotes are shown. */
function messageOf({ message, messageExpression }: CelRule): string {
  if (messageExpression === undefined) return message;
  const parts = messageExpression.split(/("(?:[^"\\]|\\.)*")/);
  return parts.map((part) => (part.startsWith('"') ? JSON.parse(part) : /^[\s+]*$/.test(part) ? '' : '…')).join('');
}

function boundRow({ minimum, maximum }: StructuralSchema, field: string): string[][] {
  if (minimum === undefined || maximum === undefined) return [];
  return [[code(field), `must be from ${minimum} to ${maximum}`]];
}

function termTable(title: string, terms: TermTable): string {
  return table(
    [title, 'What it means', 'What to do'],
    Object.entries(terms).map(([name, { meaning, action }]) => [code(name), meaning, action]),
  );
}

function check(root: string): void {
  const stale = staleFiles(root);
  if (stale.length === 0) return;
  console.error(`not as src/api says: ${stale.join(', ')}; run: npm run generate`);
  process.exitCode = 1;
}

if (import.meta.main) {
  if (process.argv.includes('--check')) check(ROOT);
  else writeFiles(ROOT);
}
