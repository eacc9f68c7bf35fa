import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { runLeaseRenewal } from '../../../src/kube/lease.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { leaseType } from '../../../src/kube/resource-types.ts';
import { createTransport, type Transport } from '../../../src/kube/transport.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { refuse, reset, respond, silence, startMisbehavingServer } from '../../fakes/misbehaving-server.ts';
import { connect, createNamespace } from './real-server.ts';
import { createRecordedLog } from './recorded-log.ts';

let transport: Transport;
let stop: AbortController;

beforeEach(() => {
  transport = connect();
  stop = new AbortController();
});

afterEach(async () => {
  stop.abort();
  await transport.close();
});

describe('runLeaseRenewal', () => {
  test('makes the lease, renews it, and leaves it as it is when stopped', async () => {
    const namespace = await createNamespace();
    const leases = createResourceClient(transport, leaseType);
    const key = `${namespace}/agent-a`;
    const { log } = createRecordedLog();
    const options = { transport, namespace, name: 'agent-a', identity: 'a', log, labels: { x: 'y' } };
    const running = runLeaseRenewal({ ...options, renewEveryMs: 50, signal: stop.signal });
    const first = await waitFor(() => leases.get(key), { what: 'lease' });
    expect(first.spec).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 40 });
    expect(first.metadata.labels).toEqual({ x: 'y' });
    await waitFor(async () => (await leases.get(key))?.spec?.renewTime !== first.spec?.renewTime, { what: 'renewal' });
    stop.abort();
    await running;
    const last = await leases.get(key);
    expect(last?.spec?.holderIdentity).toBe('a');
    expect(last?.spec?.acquireTime).toBe(first.spec?.acquireTime);
  });

  test('F30 F51 goes on over errors, resets and silence, and warns once', async () => {
    await using server = await startMisbehavingServer();
    const kubeConfig = loadKubeConfig({ kubeconfigPath: server.kubeconfigPath });
    const failing = createTransport(kubeConfig, { userAgent: 'test' });
    const metadata = { name: 'a', namespace: 'ns', uid: 'u', resourceVersion: '1' };
    const renewed = respond({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata });
    server.script(refuse(500), reset(), refuse(403), silence(), refuse(429, { retryAfterS: 60 }), renewed);
    const { log, lines } = createRecordedLog();
    const options = { transport: failing, namespace: 'ns', name: 'a', identity: 'a', log, signal: stop.signal };
    let reconnects = 0;
    failing.onReconnect(() => reconnects++);
    const changes: (string | undefined)[] = [];
    const onChange = (failure: string | undefined) => void changes.push(failure);
    const running = runLeaseRenewal({ ...options, renewEveryMs: 60, onChange });
    await waitFor(() => lines.some(({ msg }) => msg === 'lease renewed again'), { what: 'recovery' });
    expect(server.received.length).toBeGreaterThanOrEqual(6);
    // F51: whoever waits for the server is told that it is back.
    expect(reconnects).toBeGreaterThan(0);
    expect(changes.slice(0, 2)).toEqual([expect.any(String), undefined]);
    expect(lines.filter(({ level }) => level >= 40)).toMatchObject([{ msg: 'lease not renewed' }]);
    stop.abort();
    await running;
    await failing.close();
  });

  test('F31 runLeaseRenewal: waits behind no request, and none of 48 requests is lost on answers that take 1 s', async () => {
    await using server = await startMisbehavingServer();
    const kubeConfig = loadKubeConfig({ kubeconfigPath: server.kubeconfigPath });
    const slow = createTransport(kubeConfig, { userAgent: 'test' });
    const metadata = { name: 'a', namespace: 'ns', uid: 'u', resourceVersion: '1' };
    const lease = respond({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata });
    server.script(async (response, request) => {
      await setTimeout(1_000);
      await lease(response, request);
    });
    const { log, lines } = createRecordedLog();
    const leases = createResourceClient(slow, leaseType);
    // A pass waits for its turn, which takes up to 6 s here; its deadline is for the answer.
    const passes = Array.from({ length: 48 }, () => leases.get('ns/other', { timeoutMs: 4_500, maxRetries: 0 }));
    const options = { transport: slow, namespace: 'ns', name: 'a', identity: 'a', log, signal: stop.signal };
    const running = runLeaseRenewal({ ...options, renewEveryMs: 1_200 });
    expect(await Promise.all(passes)).toHaveLength(48);
    stop.abort();
    await running;
    expect(lines.filter(({ level }) => level >= 40)).toEqual([]);
    expect(server.received.filter(({ path }) => path.endsWith('/a')).length).toBeGreaterThanOrEqual(3);
    await slow.close();
  });
});
