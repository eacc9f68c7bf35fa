import { describe, expect, inject, it } from 'vitest';
import { kinds } from '../../../src/api/kinds.ts';
import { startControlPlane } from '../../cluster/control-plane.ts';
import { chartPath, helm, helms, NAMESPACE } from './chart.ts';

const RELEASE = NAMESPACE;
const volume = {
  apiVersion: 'btrfs-operator.io/v1alpha1',
  kind: 'LoopbackVolume',
  metadata: { name: 'demo' },
  spec: { size: '1Gi' },
};

describe.each(helms)('the chart with %s', (program) => {
  it('is installed, upgraded, removed and installed again, and the objects of users stay', async () => {
    await using controlPlane = await startControlPlane({ assetsDir: inject('assetsDir') });
    const { kubectl, kubeconfigPath } = controlPlane;
    const run = (...args: readonly string[]) =>
      helm(program, ...args, '--kubeconfig', kubeconfigPath, '--namespace', NAMESPACE);
    const read = (...args: readonly string[]) => kubectl(['get', '--ignore-not-found', '--output=name', ...args]);
    const uid = () => kubectl(['get', 'loopbackvolume', 'demo', '--output=jsonpath={.metadata.uid}']);
    const policies = () =>
      read('validatingadmissionpolicies,clusterroles', `--selector=app.kubernetes.io/name=${RELEASE}`);

    run('install', RELEASE, chartPath, '--create-namespace');
    await kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
    await kubectl(['create', '--filename=-'], { stdin: JSON.stringify(volume) });
    const uidBefore = await uid();
    expect(await policies()).not.toBe('');

    run('upgrade', RELEASE, chartPath, '--set', 'agent.concurrency=3');
    const args = '--output=jsonpath={.spec.template.spec.containers[0].args}';
    const agent = await kubectl(['get', 'daemonset', 'btrfs-operator-agent', `--namespace=${NAMESPACE}`, args]);
    expect(JSON.parse(agent)).toContain('--concurrency=3');

    run('uninstall', RELEASE);
    expect(await policies()).toBe('');
    const crds = (await read('customresourcedefinitions')).trim().split('\n');
    expect(crds).toEqual(
      kinds.map(({ plural }) => `customresourcedefinition.apiextensions.k8s.io/${plural}.btrfs-operator.io`).sort(),
    );
    expect(await uid()).toBe(uidBefore);

    run('install', RELEASE, chartPath);
    expect(await uid()).toBe(uidBefore);
  }, 120_000);
});
