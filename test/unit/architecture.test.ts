import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

// The rooms of src/ and the arrows between them; docs/development.md says what each is for.
const arrows: Readonly<Record<string, readonly string[]>> = {
  api: [],
  runtime: [],
  host: [],
  net: ['runtime'],
  kube: ['api'],
  storage: ['host'],
  agent: ['api', 'kube', 'runtime', 'storage', 'net'],
  controller: ['api', 'kube', 'runtime', 'net'],
};
// What an entry point's surroundings may be used from: the files directly in src/.
const openToAll = ['config', 'log'];
const rooms = Object.keys(arrows);
const processRooms = ['agent', 'controller'];

const onlyIn: Readonly<Record<string, string>> = {
  '@kubernetes/client-node': 'kube',
  undici: 'kube',
  execa: 'host',
};

const MAX_LINES = 250;

interface Source {
  /** Relative to src/, e.g. `kube/transport.ts`. */
  readonly file: string;
  readonly text: string;
}

/** What a module imports or exports from, also for types only and by import(). */
function importsOf(text: string): string[] {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/^\s*\/\/.*$/gm, '');
  const statements = code.matchAll(/(?:^|[;}\n])\s*(?:import|export)\b[^'";]*?['"]([^'"\n]+)['"]/g);
  const calls = code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g);
  return [...statements, ...calls].map(([, specifier = '']) => specifier);
}

function roomOf(file: string): string {
  const [first = ''] = file.split('/');
  return first.replace(/\.ts$/, '');
}

function targetsOf({ file, text }: Source): string[] {
  return importsOf(text)
    .filter((specifier) => specifier.startsWith('.') && specifier.endsWith('.ts'))
    .map((specifier) => path.posix.join(path.posix.dirname(file), specifier));
}

function arrowComplaints(source: Source): string[] {
  const from = roomOf(source.file);
  const allowed = arrows[from];
  if (allowed === undefined) return []; // the files in src/ itself put the rooms together
  const surroundings = processRooms.includes(from) ? openToAll : [];
  return targetsOf(source)
    .map(roomOf)
    .filter((to) => to !== from && !allowed.includes(to) && !surroundings.includes(to))
    .map((to) => `${source.file} imports ${to}, which ${from} may not`);
}

function packageComplaints({ file, text }: Source): string[] {
  return importsOf(text).flatMap((specifier) =>
    Object.entries(onlyIn)
      .filter(([name]) => specifier === name || specifier.startsWith(`${name}/`))
      .filter(([, room]) => roomOf(file) !== room)
      .map(([name, room]) => `${file} imports ${name}, which only ${room} may`),
  );
}

/** One cycle as `a -> b -> a`, if there is one. */
function findCycle(sources: readonly Source[]): string | undefined {
  const targets = new Map(sources.map((source) => [source.file, targetsOf(source)]));
  const done = new Set<string>();
  const visit = (file: string, trail: readonly string[]): string | undefined => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file].join(' -> ');
    if (done.has(file)) return undefined;
    const cycle = (targets.get(file) ?? []).map((target) => visit(target, [...trail, file])).find(Boolean);
    done.add(file);
    return cycle;
  };
  return sources.map(({ file }) => visit(file, [])).find(Boolean);
}

const srcPath = path.resolve(import.meta.dirname, '../../src');
const sources: readonly Source[] = readdirSync(srcPath, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(path.join(srcPath, file), 'utf8') }));

describe('src', () => {
  test('every folder is a known room', () => {
    expect(sources.length).toBeGreaterThan(20);
    const folders = new Set(sources.filter(({ file }) => file.includes('/')).map(({ file }) => roomOf(file)));
    expect([...folders].filter((folder) => !rooms.includes(folder))).toEqual([]);
  });

  test('rooms import only along the arrows', () => {
    expect(sources.flatMap(arrowComplaints)).toEqual([]);
  });

  test('the Kubernetes client, undici and execa have one room each', () => {
    expect(sources.flatMap(packageComplaints)).toEqual([]);
  });

  test('only config.ts reads process.env', () => {
    const readers = sources.filter(({ text }) => readsEnvironment(text)).map(({ file }) => file);
    expect(readers).toEqual(['config.ts']);
  });

  test('there are no import cycles', () => {
    expect(findCycle(sources)).toBeUndefined();
  });

  test('there are no barrels and no default exports', () => {
    expect(sources.filter(({ file }) => path.basename(file) === 'index.ts').map(({ file }) => file)).toEqual([]);
    expect(sources.filter(({ text }) => /^export default\b/m.test(text)).map(({ file }) => file)).toEqual([]);
  });

  test('F40 nothing but a command reads what lies on a device or in a mounted tree: it may hang, and there are four threads', () => {
    const calls =
      /\b(?:stat|statfs|readdir|readFile|writeFile|readSuperblock)\(\s*(?:\w+\.)*(?:loopPath|devicePath|mountPath|treePath|dataPath|loop\.path|tree\.path)\b/;
    const found = sources.filter(({ text }) => calls.test(text)).map(({ file }) => file);
    expect(found).toEqual([]);
  });

  test(`no file is longer than ${MAX_LINES} lines`, () => {
    const long = sources.map(({ file, text }) => ({ file, lines: text.split('\n').length - 1 }));
    expect(long.filter(({ lines }) => lines > MAX_LINES)).toEqual([]);
  });
});

function readsEnvironment(text: string): boolean {
  return /\bprocess\s*\.\s*env\b/.test(text) || /import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*'(node:)?process'/.test(text);
}

describe('the checks of the architecture', () => {
  test('importsOf: finds every form of import, and no text of comments and strings', () => {
    const text = `
      // import { a } from 'commented';
      /* import 'blocked'; */
      import 'bare';
      import type { A } from './type.ts';
      import {
        b,
        c,
      } from '../room/lines.ts';
      export * from './all.ts';
      export { d } from "./double.ts";
      const later = await import('./later.ts');
      const words = "imported from 'nowhere'";
      export const e = 1;
    `;
    expect(importsOf(text)).toEqual(['bare', './type.ts', '../room/lines.ts', './all.ts', './double.ts', './later.ts']);
  });

  test.each([
    ['controller/run.ts', '../storage/volumes.ts', 'controller/run.ts imports storage, which controller may not'],
    ['api/kinds.ts', '../kube/errors.ts', 'api/kinds.ts imports kube, which api may not'],
    [
      'storage/deep/er/layout.ts',
      '../../../agent/x.ts',
      'storage/deep/er/layout.ts imports agent, which storage may not',
    ],
    ['kube/transport.ts', '../config.ts', 'kube/transport.ts imports config, which kube may not'],
    ['host/run.ts', '../main.ts', 'host/run.ts imports main, which host may not'],
  ])('arrowComplaints: %s must not import %s', (file, specifier, complaint) => {
    expect(arrowComplaints({ file, text: `import type { A } from '${specifier}';` })).toEqual([complaint]);
  });

  test('arrowComplaints: an allowed arrow is no complaint', () => {
    expect(arrowComplaints({ file: 'storage/volumes.ts', text: "import { run } from '../host/run.ts';" })).toEqual([]);
  });

  test('packageComplaints: also a path inside of the package is found', () => {
    const text = "import { Agent } from 'undici/lib/agent.js';";
    expect(packageComplaints({ file: 'net/server.ts', text })).toEqual([
      'net/server.ts imports undici, which only kube may',
    ]);
  });

  test('findCycle: names the files of a cycle', () => {
    const cycle = [
      { file: 'api/a.ts', text: "import './b.ts';" },
      { file: 'api/b.ts', text: "import type { C } from './c.ts';" },
      { file: 'api/c.ts', text: "export * from './b.ts';" },
    ];
    expect(findCycle(cycle)).toBe('api/b.ts -> api/c.ts -> api/b.ts');
  });

  test('readsEnvironment: finds both ways', () => {
    expect(readsEnvironment('const a = process.env.HOME;')).toBe(true);
    expect(readsEnvironment("import { env, exit } from 'node:process';")).toBe(true);
    expect(readsEnvironment('const env = options.environment;')).toBe(false);
  });
});
