import { expect, test } from 'vitest';
import { createSandbox } from '../cluster/sandbox.ts';

test('createSandbox: the namespace exists and kubectl works in it', async () => {
  await using sandbox = await createSandbox();
  await sandbox.kubectl(['create', 'configmap', 'x', '--from-literal=a=b']);
  const { status, body } = await sandbox.call(`/api/v1/namespaces/${sandbox.namespace}/configmaps/x`);
  expect(status).toBe(200);
  expect(body.data).toEqual({ a: 'b' });
});
