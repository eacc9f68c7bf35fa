import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isMap, isScalar, type Node, type Pair, parseDocument, type YAMLMap } from 'yaml';
import { code, page, table } from './markdown.ts';

export const CHART_DIR = 'charts/btrfs-operator';
export const CHART_CRD_DIR = `${CHART_DIR}/templates/crds`;

/** A CustomResourceDefinition as a template of the chart: with its labels, and kept at uninstall unless told otherwise. */
export function crdTemplate(crdYaml: string): string {
  if (crdYaml.includes('{{')) throw new Error('a CRD with {{ would be taken for a template');
  const [notice = '', ...lines] = crdYaml.trimEnd().split('\n');
  const nameAt = lines.findIndex((line) => line.startsWith('  name: '));
  return [
    '{{- if .Values.crds.enabled }}',
    notice,
    ...lines.slice(0, nameAt + 1),
    '  labels:',
    '    {{- include "btrfs-operator.labels" (dict "root" .) | nindent 4 }}',
    '  {{- if .Values.crds.keep }}',
    '  annotations:',
    '    helm.sh/resource-policy: keep',
    '  {{- end }}',
    ...lines.slice(nameAt + 1),
    '{{- end }}',
    '',
  ].join('\n');
}

export interface ChartValue {
  /** e.g. `agent.lease.renewSeconds`. */
  readonly path: string;
  readonly byDefault: unknown;
  readonly description: string;
}

/** The values in a values.yaml that describes each by a comment that begins with `# --`. Throws where a value has none. */
export function parseValues(text: string): readonly ChartValue[] {
  const document = parseDocument(text);
  if (!isMap(document.contents)) throw new Error('values.yaml is not a map');
  return valuesIn(document.contents, '', document.commentBefore ?? '');
}

/** NOTE: the comment of the first pair of a map belongs to the map. */
function valuesIn(map: YAMLMap, prefix: string, mapComment: string): ChartValue[] {
  return map.items.flatMap((pair: Pair, index) => {
    if (!isScalar(pair.key)) throw new Error(`values.yaml: a key below ${prefix} is no text`);
    const valuePath = `${prefix}${String(pair.key.value)}`;
    const comment = (index === 0 ? (map.commentBefore ?? mapComment) : undefined) ?? pair.key.commentBefore ?? '';
    const description = descriptionIn(comment);
    if (description !== undefined) return [{ path: valuePath, byDefault: asJson(pair), description }];
    if (isMap(pair.value) && pair.value.items.length > 0) return valuesIn(pair.value, `${valuePath}.`, '');
    throw new Error(`values.yaml: ${valuePath} has no description ("# -- …")`);
  });
}

function asJson({ value }: Pair): unknown {
  return (value as Node | null)?.toJSON();
}

function descriptionIn(comment: string): string | undefined {
  const [, text] = /(?:^|\n) -- ([\s\S]*)$/.exec(comment) ?? [];
  return text
    ?.split('\n')
    .map((line) => line.trim())
    .join(' ');
}

/** The chart's own page, with a table of its values. */
export function chartReadme(root: string): string {
  const values = parseValues(readFileSync(path.join(root, CHART_DIR, 'values.yaml'), 'utf8'));
  const groups = [...Map.groupBy(values, ({ path }) => (path.includes('.') ? path.split('.')[0] : ''))];
  const sections = groups.flatMap(([group, members]) => [
    group === '' ? '### Names, image, logs' : `### ${code(group ?? '')}`,
    table(
      ['Value', 'Default', 'What it is'],
      members.map(({ path, byDefault, description }) => [code(path), code(JSON.stringify(byDefault)), description]),
    ),
  ]);
  return page('Generated from values.yaml by `npm run generate`; do not edit.', [...README, '## Values', ...sections]);
}

const README = [
  '# btrfs-operator',
  'Installs the operator: a controller (Deployment, unprivileged), an agent on every node (DaemonSet, privileged), the CustomResourceDefinitions, roles, and admission policies that hold every agent to its own node. Kubernetes 1.34 or newer, Helm 3 or 4, nodes with Linux 5.10 or newer and its modules `btrfs` and `loop`. One install per cluster.',
  '## Install',
  `    kubectl create namespace btrfs-operator
    kubectl label namespace btrfs-operator pod-security.kubernetes.io/enforce=privileged
    helm install btrfs-operator charts/btrfs-operator --namespace btrfs-operator --set image.repository=IMAGE`,
  'The label is needed where Pod Security Admission enforces less by default: the agents are privileged, because mounts reach a node in no other way. [docs/security.md](../../docs/security.md) says what that means, what each account may do and what is not defended.',
  'Without Helm: `kubectl apply --server-side -f charts/btrfs-operator.yaml`, which is this chart with its defaults, the namespace and its label.',
  '## Upgrade',
  'CustomResourceDefinitions are upgraded with the chart. Agents are replaced one by one (`agent.updateStrategy.maxUnavailable`); no mount and no loop device is disturbed by that, and pods go on using their volumes.',
  '## Uninstall',
  'Delete all objects first, and wait until they are gone: their finalizers wait for the operator.',
  `    kubectl delete bclaim,bcache,bsnap,lbv --all --all-namespaces
    helm uninstall btrfs-operator --namespace btrfs-operator`,
  'The CustomResourceDefinitions stay (`crds.keep`), and so do BtrfsNodes and what is below `agent.root` on the nodes; `kubectl delete crd -l app.kubernetes.io/part-of=btrfs-operator` removes the former.',
  'Argo CD and Flux can install the chart as it is: it has no hooks, and renders the same each time.',
];
