import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { requestCertificate } from '../../../src/agent/transfer/request-certificate.ts';
import { configMapType } from '../../../src/kube/certificate-types.ts';
import { loadKubeConfig } from '../../../src/kube/config.ts';
import { createResourceClient } from '../../../src/kube/resource-client.ts';
import { createTransport } from '../../../src/kube/transport.ts';
import { fetchStream } from '../../../src/net/transfer-client.ts';
import { createNodeKubeconfig } from '../../cluster/operator-identity.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Lab, startLab } from '../lab.ts';

const never = new AbortController().signal;

let lab: Lab;
beforeAll(async () => {
  lab = await startLab();
  await Promise.all([lab.startAgent('node-a'), lab.startAgent('node-b')]);
});
afterAll(() => lab?.[Symbol.asyncDispose]());
beforeEach(() => lab.showLogsOnFailure());

const endpointOf = (nodeName: string) =>
  waitFor(async () => (await lab.btrfsNodes.get(nodeName))?.status.transferEndpoint, {
    what: `transfer endpoint of ${nodeName}`,
    timeoutMs: 20_000,
  });

/** Who a node is to others, as its agent would get it. */
async function identityOf(nodeName: string) {
  const identity = { access: lab.access, namespace: 'default', nodeName, dir: path.join(lab.dir, 'others') };
  const kubeconfigPath = await createNodeKubeconfig(identity);
  const transport = createTransport(loadKubeConfig({ kubeconfigPath }), { userAgent: 'test' });
  try {
    const certificate = await requestCertificate({ transport, nodeName, lifetimeSeconds: 600, log: lab.log }, never);
    const bundle = await createResourceClient(lab.transport, configMapType).get('default/btrfs-operator-transfer-ca');
    return { ...certificate, caPem: bundle?.data?.['ca.crt'] ?? '' };
  } finally {
    await transport.close();
  }
}

describe('the transfer port of an agent', () => {
  it('is open where the BtrfsNode says, for other nodes and under its own name only', async () => {
    const [a, b] = [await endpointOf('node-a'), await endpointOf('node-b')];
    const identity = await identityOf('node-c');
    const request = { namespace: 'default', name: 'nothing', uid: 'a', ancestors: [] };
    const ask = (nodeName: string, endpoint: string) =>
      fetchStream({ peer: { nodeName, endpoint }, identity, request }, never);
    await expect(ask('node-a', a)).rejects.toMatchObject({ code: 'refused', reason: 'NotFound' });
    await expect(ask('node-b', b)).rejects.toMatchObject({ code: 'refused', reason: 'NotFound' });
    await expect(ask('node-a', b)).rejects.toMatchObject({ code: 'untrusted' });
  });
});
