import { describe, expect, it } from 'vitest';
import { crdTemplate, parseValues } from '../../../tools/chart-files.ts';

describe('parseValues', () => {
  it('finds each value with its default and its description, over several lines too', () => {
    const text = `# About the file.

group:
  # -- The first of
  # two lines.
  first: 1
  nested:
    # -- A list.
    list: []
# -- A map that is one value.
map:
  a: b
# Not for the table.
# -- The last.
last: ""
`;
    expect(parseValues(text)).toEqual([
      { path: 'group.first', byDefault: 1, description: 'The first of two lines.' },
      { path: 'group.nested.list', byDefault: [], description: 'A list.' },
      { path: 'map', byDefault: { a: 'b' }, description: 'A map that is one value.' },
      { path: 'last', byDefault: '', description: 'The last.' },
    ]);
  });

  it.each(['a: 1\n', '# some words\na: 1\n', 'a:\n  # -- Known.\n  b: 1\n  c: 2\n', 'a: {}\n'])(
    'throws for a value without a description: %j',
    (text) => {
      expect(() => parseValues(text)).toThrow(/has no description/);
    },
  );
});

describe('crdTemplate', () => {
  const crd = '# Notice.\napiVersion: v1\nmetadata:\n  name: some\nspec:\n  group: some\n';

  it('puts labels and the annotation that keeps it behind the name', () => {
    const lines = crdTemplate(crd).split('\n');
    expect(lines.slice(0, 6)).toEqual([
      '{{- if .Values.crds.enabled }}',
      '# Notice.',
      'apiVersion: v1',
      'metadata:',
      '  name: some',
      '  labels:',
    ]);
    expect(lines.slice(-5)).toEqual(['  {{- end }}', 'spec:', '  group: some', '{{- end }}', '']);
  });

  it('refuses what Helm would take for a template', () => {
    expect(() => crdTemplate(`${crd}  description: "{{ x }}"\n`)).toThrow(/template/);
  });
});
