import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { inject } from 'vitest';
import { parseAllDocuments } from 'yaml';

export const chartPath = path.resolve(import.meta.dirname, '../../../charts/btrfs-operator');
export const NAMESPACE = 'btrfs-operator';
/** The oldest Kubernetes that the chart is for. */
export const KUBE_VERSION = '1.34.0';

/** Both that people use: 4 and 3. */
export const helms = ['helm', 'helm3'] as const;
export type Helm = (typeof helms)[number];

// biome-ignore lint/suspicious/noExplicitAny: tests look into objects of any kind
export type ManifestObject = any;

/** Path of that program; throws when it is not there, as nothing of the chart would be tested then. */
export function helmPath(program: Helm): string {
  const file = path.join(inject('assetsDir'), program);
  accessSync(file, constants.X_OK);
  return file;
}

/** What helm prints. Throws with what it says on stderr. */
export function helm(program: Helm, ...args: readonly string[]): string {
  return execFileSync(helmPath(program), args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** The chart as it would be installed, in {@link NAMESPACE}; `values` as in a file of values. */
export function renderChart(values: object = {}, program: Helm = 'helm'): string {
  const set = Object.entries(values).flatMap(([name, value]) => ['--set-json', `${name}=${JSON.stringify(value)}`]);
  const cluster = ['--namespace', NAMESPACE, '--kube-version', KUBE_VERSION];
  return helm(program, 'template', NAMESPACE, chartPath, ...cluster, ...set);
}

export function objectsOf(manifest: string): ManifestObject[] {
  return parseAllDocuments(manifest)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

/** The one object of this kind and name. */
export function objectIn(objects: readonly ManifestObject[], kind: string, name: string): ManifestObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name);
  if (found.length !== 1) throw new Error(`${found.length} objects are ${kind} ${name}`);
  return found[0];
}
