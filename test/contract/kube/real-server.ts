import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import type { KubeObject } from '../../../src/kube/object.ts';
import type { ResourceType } from '../../../src/kube/resource-type.ts';
import { createTransport, type Transport } from '../../../src/kube/transport.ts';
import { type ApiAccess, callApi } from '../../cluster/api.ts';
import { waitFor } from '../../cluster/wait-for.ts';

/** A kind with a status subresource that no code of the operator knows. */
export interface Widget extends KubeObject {
  readonly spec?: { readonly size?: number; readonly color?: string };
  readonly status?: { readonly phase?: string; readonly bytes?: number };
}

export const widgetType: ResourceType<Widget> = {
  apiVersion: 'kube-test.example.com/v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
  parse: (raw) => raw as Widget,
};

export function connect(): Transport {
  return createTransport(loadKubeConfig({ kubeconfigPath: inject('kubeconfigPath') }), { userAgent: 'kube-test' });
}

/** A namespace of its own for a test; goes with the control plane. */
export async function createNamespace(): Promise<string> {
  const name = `kube-test-${randomBytes(4).toString('hex')}`;
  const access: ApiAccess = inject('api');
  const { status } = await callApi(access, '/api/v1/namespaces', { method: 'POST', body: { metadata: { name } } });
  if (status !== 201) throw new Error(`namespace not created: HTTP ${status}`);
  return name;
}

/** Widgets are served after this; safe to repeat. */
export async function ensureWidgetsServed(): Promise<void> {
  const access: ApiAccess = inject('api');
  const object = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: object, status: object } } };
  await callApi(access, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    method: 'POST',
    body: {
      metadata: { name: 'widgets.kube-test.example.com' },
      spec: {
        group: 'kube-test.example.com',
        scope: 'Namespaced',
        names: { kind: 'Widget', plural: 'widgets', singular: 'widget' },
        versions: [{ name: 'v1', served: true, storage: true, subresources: { status: {} }, schema }],
      },
    },
  });
  const isServed = async () => (await callApi(access, '/apis/kube-test.example.com/v1/widgets')).status === 200;
  await waitFor(isServed, { what: 'widgets served' });
}
