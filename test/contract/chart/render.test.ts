import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import packageJson from '../../../package.json' with { type: 'json' };
import { kinds } from '../../../src/api/kinds.ts';
import { type Config, loadConfig } from '../../../src/config.ts';
import { parseValues } from '../../../tools/chart-files.ts';
import { INSTALL_MANIFEST, installManifest } from '../../../tools/install-manifest.ts';
import { callApi } from '../../cluster/api.ts';
import { createKubectl, type Kubectl } from '../../cluster/kubectl.ts';
import {
  chartPath,
  helm,
  helmPath,
  helms,
  KUBE_VERSION,
  type ManifestObject,
  NAMESPACE,
  objectIn,
  objectsOf,
  renderChart,
} from './chart.ts';
import { accepts, leavesOf, sharpValues } from './schema-values.ts';
import { everyObjectChanged, everySettingChanged, everythingOff } from './values.ts';

const variations: Readonly<Record<string, object>> = {
  defaults: {},
  'every setting changed': everySettingChanged,
  'every object changed': everyObjectChanged,
  'everything off': everythingOff,
};

let kubectl: Kubectl;

beforeAll(async () => {
  kubectl = createKubectl(inject('assetsDir'), inject('kubeconfigPath'));
  await createNamespace(NAMESPACE, {});
});

async function createNamespace(name: string, labels: object): Promise<void> {
  const answer = await callApi(inject('api'), '/api/v1/namespaces', {
    method: 'POST',
    body: { metadata: { name, labels } },
  });
  expect([201, 409]).toContain(answer.status);
}

describe('the chart', () => {
  describe.each(helms)('with %s', (program) => {
    it('passes its linter', () => {
      expect(helm(program, 'lint', '--strict', chartPath)).toContain('0 chart(s) failed');
    });

    it.each(Object.entries(variations))('is the same each time and with every helm: %s', (_, values) => {
      const manifest = renderChart(values, program);
      expect(renderChart(values, program)).toBe(manifest);
      expect(byName(objectsOf(manifest))).toEqual(byName(objectsOf(renderChart(values, 'helm'))));
    });
  });

  it.each(Object.entries(variations))('is taken by the API server: %s', async (_, values) => {
    const args = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '--validate=strict'];
    const said = await kubectl([...args, '--filename=-'], { stdin: renderChart(values) });
    expect(said.trim().split('\n')).toHaveLength(objectsOf(renderChart(values)).length);
  });

  it.each([
    ['someValue', 1],
    ['agent.someValue', 1],
    ['agent.capacity.someValue', 1],
    ['agent.capacity.overcommitRatio', 0.05],
    ['agent.capacity.overcommitRatio', '0.05'],
    ['agent.capacity.overcommitRatio', '100.5'],
    ['agent.capacity.overcommitRatio', 'twice'],
    ['agent.directIO', 'On'],
    ['agent.root', 'relative'],
    ['agent.root', '/'],
    ['agent.root', '/some/../other'],
    ['agent.sectorSize', 4000],
    ['agent.transfer.port', 8080],
    ['agent.downloads.allowedPrefixes', ['http://example.com']],
    ['agent.downloads.maxBytes', 'much'],
    ['agent.updateStrategy.maxUnavailable', 0],
    ['controller.replicas', -1],
    ['image.digest', 'latest'],
    ['logLevel', 'loud'],
    ['commonLabels', { a: 1 }],
    ['commonLabels', { 'no label': 'x' }],
    ['agent.lease.durationSeconds', 40.5],
    ['controller.leaderElection.leaseSeconds', 1.4],
    ['agent.capacity.reserve', 'None'],
    ['agent.capacity.hostPressureBytes', 'Auto'],
    ['agent.downloads.maxBytes', 'Auto'],
    ['agent.downloads.maxBytes', '9000P'],
    ['agent.downloads.maxBytes', -1],
    ['agent.root', '/with space #and comment'],
    ['agent.serviceAccount.name', 'Upper'],
    ['nameOverride', 'Foo_Bar'],
    ['agent.extraEnv', [{ name: 'NODE_NAME', value: 'other' }]],
  ])('F34 refuses value %s of %j', (name, value) => {
    expect(() => renderChart({ [name]: value })).toThrow(/schema/);
  });

  it.each([
    [{ 'controller.leaderElection.renewDeadlineSeconds': 20 }, 'raise leaseSeconds'],
    [{ 'controller.leaderElection.retrySeconds': 12 }, 'lower retrySeconds'],
    [{ 'agent.root': '/dev/x' }, 'choose a directory of a disk'],
    [{ 'agent.root': '/run/mount' }, 'choose a directory of a disk'],
    [{ 'controller.podLabels': { 'app.kubernetes.io/component': 'x' } }, 'choose another key'],
    [{ commonLabels: { 'app.kubernetes.io/name': 'x' } }, 'choose another key'],
    [{ 'controller.extraArgs': ['--leader-election=Off'] }, 'one has to lead'],
    [{ 'agent.extraArgs': ['--health-address=:9000'] }, 'probes ask port 8081'],
    [{ 'agent.extraArgs': ['--root=/data'] }, 'set agent.root'],
    [{ 'agent.extraArgs': ['--shutdown-grace-seconds=600'] }, 'set agent.shutdownGraceSeconds'],
  ])('F34 refuses %j, and says the way out', (values, wayOut) => {
    expect(() => renderChart(values)).toThrow(wayOut);
  });

  it.each(helms)('takes fractions as --set of %s hands them on: as text', (program) => {
    const cluster = ['--namespace', NAMESPACE, '--kube-version', KUBE_VERSION];
    const set = ['--set', 'agent.capacity.overcommitRatio=1.5'];
    const manifest = helm(program, 'template', NAMESPACE, chartPath, ...cluster, ...set);
    expect(manifest).toBe(renderChart({ 'agent.capacity.overcommitRatio': 1.5 }, program));
    expect(manifest).toContain('- --overcommit-ratio=1.5\n');
  });

  it('refuses one service account for controller and agents', () => {
    const serviceAccount = { name: 'one' };
    expect(() => renderChart({ controller: { serviceAccount }, agent: { serviceAccount } })).toThrow(
      'agent.serviceAccount.name "one" is the account of the controller',
    );
  });

  it('refuses a Lease that could end between two renewals', () => {
    expect(() => renderChart({ agent: { lease: { durationSeconds: 10, renewSeconds: 9 } } })).toThrow(
      'agent.lease.renewSeconds 9 is more than half',
    );
  });

  it('is for Kubernetes 1.34 and newer', () => {
    expect(() => helm('helm', 'template', chartPath, '--kube-version=1.33.9')).toThrow(/kubeVersion/);
    expect(() => helm('helm', 'template', chartPath, '--kube-version=1.34.0-vendor.1')).not.toThrow();
  });

  it('knows of the same values in values.yaml and in its schema', () => {
    const schema = JSON.parse(readFileSync(path.join(chartPath, 'values.schema.json'), 'utf8'));
    const described = parseValues(readFileSync(path.join(chartPath, 'values.yaml'), 'utf8'));
    expect(valuesOfSchema(schema, schema.definitions).sort()).toEqual(described.map((value) => value.path).sort());
  });

  it('takes any value below global, as other charts may share it', () => {
    expect(() => renderChart({ 'global.someValue': 1 })).not.toThrow();
  });

  it('has the version of the program', () => {
    const chart = parse(readFileSync(path.join(chartPath, 'Chart.yaml'), 'utf8'));
    expect(chart).toMatchObject({ version: packageJson.version, appVersion: packageJson.version });
    expect(chart.annotations['artifacthub.io/images']).toContain(`image: btrfs-operator:${packageJson.version}\n`);
  });

  it('lists its kinds for catalogues, with examples that the API server takes', async () => {
    const { annotations } = parse(readFileSync(path.join(chartPath, 'Chart.yaml'), 'utf8'));
    const listed = parse(annotations['artifacthub.io/crds']).map(({ kind }: ManifestObject) => kind);
    expect(listed.sort()).toEqual(kinds.map(({ kind }) => kind).sort());
    const examples = { apiVersion: 'v1', kind: 'List', items: parse(annotations['artifacthub.io/crdsExamples']) };
    const args = ['create', '--dry-run=server', '--validate=strict', '--output=name', '--filename=-'];
    const said = await kubectl(args, { stdin: JSON.stringify(examples) });
    expect(said.trim().split('\n')).toHaveLength(examples.items.length);
  });

  it('is what charts/btrfs-operator.yaml has (else: make generate)', () => {
    const written = readFileSync(path.resolve(chartPath, '../..', INSTALL_MANIFEST), 'utf8');
    expect(written).toBe(installManifest(helmPath('helm')));
  });

  it('installs every kind, and leaves it when it goes unless told otherwise', () => {
    const policiesOf = (values: object) =>
      objectsOf(renderChart(values))
        .filter(({ kind }) => kind === 'CustomResourceDefinition')
        .map(({ metadata }) => metadata.annotations?.['helm.sh/resource-policy']);
    expect(policiesOf({})).toEqual(kinds.map(() => 'keep'));
    expect(policiesOf({ 'crds.keep': false })).toEqual(kinds.map(() => undefined));
    expect(policiesOf({ 'crds.enabled': false })).toEqual([]);
  });

  it('names no registry', () => {
    const images = podSpecs(objectsOf(renderChart())).map(({ containers }) => containers[0].image);
    expect(images).toEqual(images.map(() => `btrfs-operator:${packageJson.version}`));
  });
});

describe('the settings of the operator', () => {
  /** Those that a pod gets otherwise, or that nothing else could work with. */
  const ofThePod = {
    controller: ['command', 'kubeconfig', 'namespace', 'identity', 'healthAddress', 'metricsAddress', 'leaderElection'],
    agent: [
      'command',
      'kubeconfig',
      'namespace',
      'nodeName',
      'transferAdvertiseHost',
      'healthAddress',
      'metricsAddress',
      'commandPath',
    ],
  };

  it.each(['controller', 'agent'] as const)('of the %s are the defaults of the program', (component) => {
    const environment = { NODE_NAME: 'node-a' };
    expect(configOf(component, {})).toEqual(loadConfig([component], environment));
  });

  it.each(['controller', 'agent'] as const)('of the %s can all be set by values', (component) => {
    const [before, after] = [configOf(component, {}), configOf(component, everySettingChanged)];
    const names = Object.keys(before) as (keyof Config)[];
    const unchanged = names.filter((name) => JSON.stringify(before[name]) === JSON.stringify(after[name]));
    expect(unchanged.sort()).toEqual(ofThePod[component].sort());
  });

  it('F34 can be read, whatever values the schema takes', () => {
    const leaves = settingsOfSchema();
    expect(leaves.length).toBeGreaterThan(40);
    const most = Math.max(...leaves.map(({ accepted }) => accepted.length));
    for (let turn = 0; turn < most; turn++) {
      const values = Object.fromEntries(leaves.map(({ name, accepted }) => [name, accepted[turn % accepted.length]]));
      expectReadable(values);
    }
  });

  it('of a pod come from where it runs', () => {
    const environmentOf = (name: string) => {
      const [spec] = podSpecs(objectsOf(renderChart()).filter(({ metadata }) => metadata.name === name));
      return Object.fromEntries(
        spec.containers[0].env.map((one: ManifestObject) => [one.name, one.valueFrom.fieldRef.fieldPath]),
      );
    };
    expect(environmentOf('btrfs-operator-controller')).toEqual({
      POD_NAME: 'metadata.name',
      POD_NAMESPACE: 'metadata.namespace',
    });
    expect(environmentOf('btrfs-operator-agent')).toEqual({
      NODE_NAME: 'spec.nodeName',
      POD_NAMESPACE: 'metadata.namespace',
      POD_IP: 'status.podIP',
    });
  });

  it('leave pods the time that running work may take', () => {
    for (const spec of podSpecs(objectsOf(renderChart(everySettingChanged)))) {
      const { args } = spec.containers[0];
      const grace = Number(/--shutdown-grace-seconds=(\S+)/.exec(args.join(' '))?.[1]);
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(grace + 20);
    }
  });
});

describe('what the chart may do', () => {
  it('is named one by one: no role has a wildcard', () => {
    const roles = objectsOf(renderChart()).filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role');
    expect(roles).not.toHaveLength(0);
    expect(JSON.stringify(roles)).not.toContain('*');
  });

  it.each([
    ['btrfs-operator-controller', 'restricted', true],
    ['btrfs-operator-agent', 'baseline', false],
    ['btrfs-operator-agent', 'privileged', true],
  ] as const)('pods of %s under Pod Security Standard %s: %j', async (name, level, isTaken) => {
    const namespace = `level-${level}`;
    await createNamespace(namespace, { 'pod-security.kubernetes.io/enforce': level });
    const found = objectsOf(renderChart()).filter(({ spec, metadata }) => metadata.name === name && spec?.template);
    const { metadata, spec } = found[0].spec.template;
    const answer = await callApi(inject('api'), `/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
      method: 'POST',
      body: { metadata: { ...metadata, name }, spec: { ...spec, priorityClassName: undefined } },
    });
    expect(answer, JSON.stringify(answer.body)).toMatchObject({ status: isTaken ? 201 : 403 });
  });

  it('on nodes is one privileged container with three directories, in no namespace of the node', () => {
    const { template } = objectIn(objectsOf(renderChart()), 'DaemonSet', 'btrfs-operator-agent').spec;
    const { volumes, containers, hostPID, hostNetwork, hostIPC } = template.spec;
    expect([hostPID, hostNetwork, hostIPC]).toEqual([undefined, undefined, undefined]);
    expect(volumes.map(({ hostPath }: ManifestObject) => hostPath?.path)).toEqual([
      '/dev',
      '/var/lib/btrfs-operator',
      undefined,
    ]);
    expect(containers).toMatchObject([{ securityContext: { privileged: true, readOnlyRootFilesystem: true } }]);
  });
});

/** Every value that reaches the processes, but for free flags, with those of some sharp ones that the schema takes. */
function settingsOfSchema(): { readonly name: string; readonly accepted: readonly unknown[] }[] {
  const schema = JSON.parse(readFileSync(path.join(chartPath, 'values.schema.json'), 'utf8'));
  return leavesOf(schema, schema.definitions)
    .filter(({ name }) => !NOT_COMBINED.test(name))
    .map(({ name, schema: leaf }) => ({
      name,
      accepted: sharpValues(leaf).filter((value) => accepts(leaf, value, schema.definitions)),
    }))
    .filter(({ accepted }) => accepted.length > 0);
}

/** Free text for Kubernetes, and values that a template compares with each other. */
const NOT_COMBINED =
  /\.(extra\w+|affinity|resources|caConfigMap|lease|leaderElection|root|serviceAccount)(\.|$)|^(global|crds|rbac|image)\b/;

function expectReadable(values: object): void {
  const pods = podSpecs(objectsOf(renderChart(values)));
  const commands = pods.map(({ containers }) => loadConfig(containers[0].args, { NODE_NAME: 'node-a' }).command);
  expect(commands.toSorted(), JSON.stringify(values)).toEqual(['agent', 'controller']);
}

/** Paths of what is no map with named keys. */
function valuesOfSchema(schema: ManifestObject, definitions: ManifestObject, prefix = ''): string[] {
  const resolved = schema.$ref === undefined ? schema : definitions[schema.$ref.replace('#/definitions/', '')];
  if (resolved.properties === undefined) return [prefix.slice(0, -1)];
  return Object.entries(resolved.properties).flatMap(([name, one]) =>
    valuesOfSchema(one, definitions, `${prefix}${name}.`),
  );
}

function configOf(component: 'controller' | 'agent', values: object): Config {
  const [spec] = podSpecs(
    objectsOf(renderChart(values)).filter(({ metadata }) => metadata.name === `btrfs-operator-${component}`),
  );
  const config = loadConfig(spec.containers[0].args, { NODE_NAME: 'node-a' });
  if (config.command === 'print') throw new Error(config.text);
  return config;
}

function podSpecs(objects: readonly ManifestObject[]): ManifestObject[] {
  return objects.flatMap(({ spec }) => (spec?.template?.spec === undefined ? [] : [spec.template.spec]));
}

function byName(objects: readonly ManifestObject[]): Record<string, ManifestObject> {
  return Object.fromEntries(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));
}
