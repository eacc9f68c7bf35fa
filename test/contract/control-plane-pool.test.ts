import { describe, expect, inject, it } from 'vitest';
import { callApi } from '../cluster/api.ts';
import { borrowControlPlane } from '../cluster/control-plane-pool.ts';

const GROUP = '/apis/btrfs-operator.io/v1alpha1';
const POLICIES = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';

const borrow = () => borrowControlPlane(inject('controlPlanePool'));

describe('the pool of control planes', () => {
  it('lends one to one at a time, and to the next without anything that was made in it', async () => {
    const first = await borrow();
    const post = async (path: string, body: object) =>
      expect(await callApi(first, path, { method: 'POST', body })).toMatchObject({ status: 201 });
    await post('/api/v1/namespaces', { metadata: { name: 'team' } });
    await post('/api/v1/namespaces/team/configmaps', { metadata: { name: 'held', finalizers: ['example.org/hold'] } });
    await post('/api/v1/namespaces/default/pods', {
      metadata: { name: 'bound' },
      spec: { nodeName: 'a', containers: [{ name: 'a', image: 'none' }] },
    });
    await post(`${GROUP}/namespaces/team/loopbackvolumes`, {
      apiVersion: 'btrfs-operator.io/v1alpha1',
      kind: 'LoopbackVolume',
      metadata: { name: 'held', finalizers: ['example.org/hold'] },
      spec: { size: '1Gi' },
    });
    {
      await using other = await borrow();
      expect(other.url).not.toBe(first.url);
    }
    await first[Symbol.asyncDispose]();

    const urls: string[] = [];
    await using one = await borrow();
    await using two = await borrow();
    for (const next of [one, two]) {
      urls.push(next.url);
      for (const path of ['/api/v1/pods', `${GROUP}/loopbackvolumes`, '/api/v1/namespaces/default/configmaps'])
        expect((await callApi(next, path)).body.items).toEqual([]);
      expect((await callApi(next, '/api/v1/namespaces/team')).status).toBe(404);
    }
    expect(urls).toContain(first.url);
  });

  it('lends none again whose policies were changed', async () => {
    const changed = await borrow();
    const [policy] = (await callApi(changed, POLICIES)).body.items;
    await callApi(changed, `${POLICIES}/${policy.metadata.name}`, { method: 'DELETE' });
    await changed[Symbol.asyncDispose]();

    await using next = await borrow();
    expect(next.url).not.toBe(changed.url);
    expect((await callApi(next, POLICIES)).body.items).toHaveLength(9);
  });
});
