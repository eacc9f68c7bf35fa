import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { kinds } from '../../../src/api/kinds.ts';
import { type ControlPlane, startControlPlane } from '../../cluster/control-plane.ts';
import { chartPath, helm, helms, NAMESPACE } from './chart.ts';

const RELEASE = NAMESPACE;
const crdNames = kinds.map(({ plural }) => `customresourcedefinition.apiextensions.k8s.io/${plural}.btrfs-operator.io`);

let controlPlane: ControlPlane;

beforeAll(async () => {
  controlPlane = await startControlPlane({ assetsDir: inject('assetsDir') });
  await controlPlane.kubectl(['create', 'namespace', NAMESPACE]);
}, 60_000);
afterAll(() => controlPlane?.stop());

// In this order: the second finds the definitions that the first has left.
describe.each(helms)('the chart with %s', (program) => {
  it('is installed, upgraded, removed and installed again, and the objects of users stay', async () => {
    const { kubectl, kubeconfigPath } = controlPlane;
    const run = (...args: readonly string[]) =>
      helm(program, ...args, '--kubeconfig', kubeconfigPath, '--namespace', NAMESPACE);
    const namesOf = async (kindsOf: string, ...args: readonly string[]) =>
      (await kubectl(['get', kindsOf, '--ignore-not-found', '--output=name', ...args])).split('\n').filter(Boolean);
    const installed = () =>
      namesOf('validatingadmissionpolicies,clusterroles', `--selector=app.kubernetes.io/name=${RELEASE}`);
    const volumeName = `of-${program}`;
    const uid = () => kubectl(['get', 'loopbackvolume', volumeName, '--output=jsonpath={.metadata.uid}']);

    run('install', RELEASE, chartPath);
    await kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
    const volume = { apiVersion: 'btrfs-operator.io/v1alpha1', kind: 'LoopbackVolume', spec: { size: '1Gi' } };
    await kubectl(['create', '--filename=-'], { stdin: JSON.stringify({ ...volume, metadata: { name: volumeName } }) });
    const uidBefore = await uid();
    expect(await installed()).not.toEqual([]);

    run('upgrade', RELEASE, chartPath, '--set', 'agent.concurrency=3');
    const args = '--output=jsonpath={.spec.template.spec.containers[0].args}';
    const agent = await kubectl(['get', 'daemonset', 'btrfs-operator-agent', `--namespace=${NAMESPACE}`, args]);
    expect(JSON.parse(agent)).toContain('--concurrency=3');

    run('uninstall', RELEASE);
    expect(await installed()).toEqual([]);
    expect((await namesOf('customresourcedefinitions')).sort()).toEqual(crdNames.toSorted());
    expect(await uid()).toBe(uidBefore);

    run('install', RELEASE, chartPath);
    expect(await uid()).toBe(uidBefore);
    run('uninstall', RELEASE);
  }, 120_000);
});
