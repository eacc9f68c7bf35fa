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

  test('goes on over errors, resets and silence, and warns once', async () => {
    await using server = await startMisbehavingServer();
    const kubeConfig = loadKubeConfig({ kubeconfigPath: server.kubeconfigPath });
    const failing = createTransport(kubeConfig, { userAgent: 'test' });
    const metadata = { name: 'a', namespace: 'ns', uid: 'u', resourceVersion: '1' };
    const renewed = respond({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata });
    server.script(refuse(500), reset(), refuse(403), silence(), refuse(429, { retryAfterS: 60 }), renewed);
    const { log, lines } = createRecordedLog();
    const options = { transport: failing, namespace: 'ns', name: 'a', identity: 'a', log, signal: stop.signal };
    const running = runLeaseRenewal({ ...options, renewEveryMs: 60 });
    await waitFor(() => lines.some(({ msg }) => msg === 'lease renewed again'), { what: 'recovery' });
    expect(server.received.length).toBeGreaterThanOrEqual(6);
    expect(lines.filter(({ level }) => level >= 40)).toMatchObject([{ msg: 'lease not renewed' }]);
    stop.abort();
    await running;
    await failing.close();
  });
});
