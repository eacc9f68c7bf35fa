import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { GROUP } from '../../../src/api/group.ts';
import { kinds } from '../../../src/api/kinds.ts';
import { createSandbox } from '../../cluster/sandbox.ts';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

const blocks = [...read('docs/gitops.md').matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = '']) => text);
const manifests: readonly Manifest[] = blocks.flatMap((text) =>
  parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS();
  }),
);

describe('docs/gitops.md', () => {
  it('objects of the operator in it are taken by the API server, unknown fields refused', async () => {
    await using sandbox = await createSandbox();
    const ours = manifests.filter(({ apiVersion }) => apiVersion.startsWith(GROUP));
    expect(ours.length).toBeGreaterThan(2);
    for (const { metadata, ...rest } of ours) {
      const stdin = stringify({ ...rest, metadata: { ...metadata, namespace: sandbox.namespace } });
      const said = await sandbox.kubectl(['create', '--dry-run=server', '--validate=strict', '-f', '-'], { stdin });
      expect(said).toContain('created');
    }
  });

  it('what it says of others is whole: every manifest has a kind and a name', () => {
    expect(manifests.length).toBeGreaterThan(8);
    for (const manifest of manifests) {
      expect(manifest).toMatchObject({
        apiVersion: expect.stringMatching(/\w/),
        kind: expect.stringMatching(/^[A-Z]/),
        metadata: { name: expect.stringMatching(/^[a-z]/) },
      });
    }
  });
});

describe('docs/kube-state-metrics.yaml', () => {
  it('names kinds of the operator, and fields that they have', () => {
    const { spec } = parse(read('docs/kube-state-metrics.yaml'), { merge: true });
    const known = kinds.map(({ kind }) => kind);
    expect(spec.resources.map(({ groupVersionKind }: { groupVersionKind: object }) => groupVersionKind)).toEqual(
      ['Snapshot', 'BuildCache', 'BuildCacheClaim'].map((kind) => ({ group: GROUP, version: 'v1alpha1', kind })),
    );
    for (const { groupVersionKind, metrics } of spec.resources) {
      expect(known).toContain(groupVersionKind.kind);
      expect(metrics[0].each.gauge.path).toEqual(['status', 'conditions']);
    }
  });
});
