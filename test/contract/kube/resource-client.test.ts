import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isAlreadyExists, isConflict, isInvalid, isNotFound } from '../../../src/kube/errors.ts';
import { createResourceClient, type ResourceClient } from '../../../src/kube/resource-client.ts';
import { type Lease, leaseType } from '../../../src/kube/resource-types.ts';
import type { Transport } from '../../../src/kube/transport.ts';
import { connect, createNamespace, ensureWidgetsServed, type Widget, widgetType } from './real-server.ts';

let transport: Transport;
let namespace: string;
let widgets: ResourceClient<Widget>;
let leases: ResourceClient<Lease>;

beforeAll(async () => {
  transport = connect();
  await ensureWidgetsServed();
  namespace = await createNamespace();
  widgets = createResourceClient(transport, widgetType);
  leases = createResourceClient(transport, leaseType);
});

afterAll(async () => {
  await transport.close();
});

const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => expect.unreachable(),
    (error: unknown) => error,
  );
const manager = { fieldManager: 'kube-test' };

describe('ResourceClient', () => {
  test('apply creates, and applying the same again changes nothing', async () => {
    const draft = { metadata: { namespace, name: 'same' }, spec: { size: 1 } };
    const created = await widgets.apply(draft, manager);
    expect(created).toMatchObject({ kind: 'Widget', spec: { size: 1 } });
    const again = await widgets.apply(draft, manager);
    expect(again.metadata.resourceVersion).toBe(created.metadata.resourceVersion);
  });

  test('apply removes what was ours and is no longer given, and leaves what is not ours', async () => {
    const metadata = { namespace, name: 'fields' };
    await widgets.apply({ metadata, spec: { size: 1 } }, { fieldManager: 'one' });
    await widgets.apply({ metadata, spec: { color: 'red' } }, { fieldManager: 'two' });
    const { spec } = await widgets.apply({ metadata, spec: {} }, { fieldManager: 'one' });
    expect(spec).toEqual({ color: 'red' });
  });

  test('apply takes a field over by default, and conflicts if force is false', async () => {
    const metadata = { namespace, name: 'force' };
    await widgets.apply({ metadata, spec: { size: 1 } }, { fieldManager: 'one' });
    const polite = { fieldManager: 'two', force: false };
    expect(await failureOf(widgets.apply({ metadata, spec: { size: 2 } }, polite))).toSatisfy(isConflict);
    const forced = await widgets.apply({ metadata, spec: { size: 3 } }, { fieldManager: 'two' });
    expect(forced.spec).toEqual({ size: 3 });
  });

  test('applyStatus writes the status and nothing else, and never creates', async () => {
    const metadata = { namespace, name: 'status' };
    expect(await failureOf(widgets.applyStatus({ metadata, status: {} }, manager))).toSatisfy(isNotFound);
    await widgets.apply({ metadata, spec: { size: 1 }, status: { phase: 'ignored' } }, manager);
    const draft = { metadata, spec: { size: 2 }, status: { phase: 'Ready', bytes: 7 } };
    const written = await widgets.applyStatus(draft, { fieldManager: 'kube-test-status' });
    expect(written).toMatchObject({ spec: { size: 1 }, status: { phase: 'Ready', bytes: 7 } });
    const again = await widgets.applyStatus(draft, { fieldManager: 'kube-test-status' });
    expect(again.metadata.resourceVersion).toBe(written.metadata.resourceVersion);
  });

  test('get is undefined where nothing is', async () => {
    await expect(widgets.get(`${namespace}/nothing`)).resolves.toBeUndefined();
  });

  test('create refuses a name that is taken', async () => {
    const draft = { metadata: { namespace, name: 'taken' } };
    await widgets.create(draft);
    const error = await failureOf(widgets.create(draft));
    expect(error).toSatisfy(isAlreadyExists);
    expect(isConflict(error)).toBe(false);
  });

  test('update refuses a version that is not the current one', async () => {
    const first = await widgets.create({ metadata: { namespace, name: 'update' }, spec: { size: 1 } });
    const second = await widgets.update({ ...first, spec: { size: 2 } });
    expect(second.spec).toEqual({ size: 2 });
    expect(await failureOf(widgets.update({ ...first, spec: { size: 3 } }))).toSatisfy(isConflict);
  });

  test('merge and JSON patches change the object, or its status', async () => {
    const key = `${namespace}/patch`;
    await widgets.create({ metadata: { namespace, name: 'patch', finalizers: ['example.com/a'] }, spec: { size: 1 } });
    expect((await widgets.patch(key, { spec: { size: 2 } }, { type: 'merge' })).spec).toEqual({ size: 2 });
    const status = await widgets.patch(key, { status: { phase: 'X' } }, { type: 'merge', subresource: 'status' });
    expect(status).toMatchObject({ spec: { size: 2 }, status: { phase: 'X' } });
    const remove = (finalizer: string) => [
      { op: 'test', path: '/metadata/finalizers/0', value: finalizer },
      { op: 'remove', path: '/metadata/finalizers/0' },
    ];
    expect(await failureOf(widgets.patch(key, remove('example.com/b'), { type: 'json' }))).toSatisfy(isInvalid);
    const patched = await widgets.patch(key, remove('example.com/a'), { type: 'json' });
    expect(patched.metadata.finalizers).toBeUndefined();
  });

  test('delete with another uid is a conflict, with its own it deletes, and again it is fine', async () => {
    const key = `${namespace}/delete`;
    const { metadata } = await widgets.create({ metadata: { namespace, name: 'delete' } });
    expect(await failureOf(widgets.delete(key, { uid: 'another' }))).toSatisfy(isConflict);
    await widgets.delete(key, { uid: metadata.uid, propagationPolicy: 'Background' });
    await expect(widgets.get(key)).resolves.toBeUndefined();
    await widgets.delete(key, { uid: metadata.uid });
  });

  test('list reads all pages of a selection, items with apiVersion and kind', async () => {
    const count = 620;
    const names = Array.from({ length: count }, (_, i) => `list-${i}`);
    const labels = { list: 'yes' };
    await Promise.all(names.map((name) => leases.create({ metadata: { namespace, name, labels } })));
    const found = await leases.list({ namespace, labelSelector: 'list=yes' });
    expect(found.map(({ metadata }) => metadata.name).sort()).toEqual(names.sort());
    const one = await leases.list({ namespace, fieldSelector: 'metadata.name=list-7' });
    expect(one).toMatchObject([{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'list-7' } }]);
  });

  test('a field of the wrong type is invalid', async () => {
    const draft = { metadata: { namespace, name: 'wrong' }, spec: { leaseDurationSeconds: -1 } };
    const error = await failureOf(leases.apply(draft, manager));
    expect(error).toSatisfy(isInvalid);
  });

  test('a key without its namespace is refused before it is sent', async () => {
    await expect(widgets.get('name')).rejects.toThrow('"name" is no key of a namespaced Widget');
  });
});
