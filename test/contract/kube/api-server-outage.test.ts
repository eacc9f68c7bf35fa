import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { startReflector } from '../../../src/kube/reflector.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { namespaceType } from '../../../src/kube/resource-types.ts';
import { createTransport, type RequestReport, type Transport } from '../../../src/kube/transport.ts';
import { type ControlPlane, startControlPlane } from '../../cluster/control-plane.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { createRecordedLog } from './recorded-log.ts';

let controlPlane: ControlPlane;
let transport: Transport;
let reports: RequestReport[];

beforeAll(async () => {
  controlPlane = await startControlPlane({ assetsDir: inject('assetsDir'), goawayChance: 0.02 });
  reports = [];
  transport = createTransport(loadKubeConfig({ kubeconfigPath: controlPlane.kubeconfigPath }), {
    userAgent: 'kube-test',
    onRequest: (report) => reports.push(report),
  });
});

afterAll(async () => {
  await transport?.close();
  await controlPlane?.stop();
});

/** A reflector of all namespaces with a log of the names that came. */
/** @param inactivityMs - after which a watch counts as dead, in milliseconds */
function followNamespaces(inactivityMs = 1_500) {
  const names: string[] = [];
  const reflector = startReflector({
    transport,
    type: namespaceType,
    log: createRecordedLog().log,
    timings: { inactivityMs, minBackoffMs: 50, maxBackoffMs: 500 },
    onChange: ({ kind, object }) => names.push(`${kind} ${object.metadata.name}`),
  });
  return { reflector, names };
}

const watchCount = () => reports.filter(({ method }) => method === 'WATCH').length;

describe('a real API server on a bad day', () => {
  test('GOAWAY breaks neither 300 requests nor a watch beside them', async () => {
    // Longer than 300 requests take on a busy machine: none but a broken watch begins anew.
    const { reflector, names } = followNamespaces(60_000);
    await reflector.synced();
    const namespaces = createResourceClient(transport, namespaceType);
    const begun = watchCount();
    const callers = Array.from({ length: 5 }, async () => {
      for (let i = 0; i < 60; i++) await namespaces.get('default');
    });
    await Promise.all(callers);
    await namespaces.create({ metadata: { name: 'after-goaway' } });
    await waitFor(() => names.includes('added after-goaway'), { what: 'change' });
    expect(watchCount()).toBe(begun);
    expect(reports.filter(({ code }) => code === 0)).toEqual([]);
    await reflector.stop();
  });

  test('a restart loses no change', async () => {
    const { reflector, names } = followNamespaces();
    await reflector.synced();
    await controlPlane.restartApiServer();
    await createResourceClient(transport, namespaceType).create({ metadata: { name: 'after-restart' } });
    await waitFor(() => names.at(-1) === 'added after-restart', { what: 'change' });
    expect(new Set(names).size).toBe(names.length);
    await reflector.stop();
  });

  test('a server that hangs with its connections open is left, and found again', async () => {
    const { reflector, names } = followNamespaces();
    await reflector.synced();
    const begun = watchCount();
    controlPlane.pauseApiServer();
    await waitFor(() => reflector.idleMs > 2_000, { what: 'idle reflector' });
    await expect(
      transport.request({ method: 'GET', path: '/readyz', timeoutMs: 300, maxRetries: 0 }),
    ).rejects.toMatchObject({ reason: 'Timeout' });
    controlPlane.resumeApiServer();
    await createResourceClient(transport, namespaceType).create({ metadata: { name: 'after-pause' } });
    await waitFor(() => names.at(-1) === 'added after-pause', { what: 'change' });
    expect(watchCount()).toBeGreaterThan(begun);
    await reflector.stop();
  });
});
