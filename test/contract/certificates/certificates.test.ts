import { X509Certificate } from 'node:crypto';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { requestCertificate } from '../../../src/agent/transfer/request-certificate.ts';
import { defaultTimings } from '../../../src/controller/certificates/authorities.ts';
import { createAuthorityStore } from '../../../src/controller/certificates/authority-store.ts';
import { signingStateOf } from '../../../src/kube/certificate-types.ts';
import { isAlreadyExists } from '../../../src/kube/errors.ts';
import { pemBlocks } from '../../../src/net/certificates/pem.ts';
import { fetchStream } from '../../../src/net/transfer-client.ts';
import { startTransferServer } from '../../../src/net/transfer-server.ts';
import type { TlsIdentity } from '../../../src/net/transfer-tls.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { waitFor } from '../../cluster/wait-for.ts';
import { type Installation, NAMESPACE, startInstallation } from './installation.ts';

const CA_KEY = `${NAMESPACE}/btrfs-operator-transfer-ca`;
const never = new AbortController().signal;

let installation: Installation;
beforeAll(async () => {
  installation = await startInstallation();
});
afterEach(() => installation.cleanUp());
afterAll(() => installation?.stop());

const bundle = async () => (await installation.configMaps.get(CA_KEY))?.data?.['ca.crt'] ?? '';
const endOf = ({ certificatePem }: TlsIdentity) => new X509Certificate(certificatePem).validToDate;

/** One transfer from `server` to `client`. */
async function transfer(server: TlsIdentity, client: TlsIdentity): Promise<string> {
  const serve = async ({ peerNodeName }: { peerNodeName: string }) => ({
    stream: Readable.from([`for ${peerNodeName}`]),
  });
  const running = await startTransferServer({
    address: '127.0.0.1:0',
    identity: server,
    serve,
    authorise: async () => {},
    limit: 1,
  });
  try {
    const { stream } = await fetchStream(
      {
        peer: { nodeName: 'node-a', endpoint: `127.0.0.1:${running.port}` },
        identity: client,
        request: { namespace: 'default', name: 'x', uid: '1', ancestors: [] },
      },
      never,
    );
    return await text(stream);
  } finally {
    await running.close();
  }
}

describe('startCertificates', () => {
  it('gives agents certificates by which they trust each other, and removes the requests', async () => {
    installation.startSigner({ keepSignedMs: 1_000 });
    const [a, b] = [await installation.startIdentity('node-a'), await installation.startIdentity('node-b')];
    expect(await transfer(await a.known(), await b.known())).toBe('for node-b');
    expect(a.identity.complaint()).toBeUndefined();
    const isEmpty = async () => (await installation.requests.list()).length === 0;
    await waitFor(isEmpty, { what: 'end of the requests' });
  });

  it('keeps the key of an agent out of the API', async () => {
    installation.startSigner();
    const { known } = await installation.startIdentity('node-a');
    const { keyPem } = await known();
    const [, body = ''] = keyPem.split('\n');
    expect(JSON.stringify(await installation.requests.list())).not.toContain(body);
    expect(JSON.stringify(await installation.configMaps.list())).not.toContain('PRIVATE');
  });

  it.each([
    ["an agent that asks for another node's name", 'WrongName', () => installation.connectNode('node-a')],
    ['an agent of another service account', 'WrongUser', () => installation.connectNode('node-b', 'other')],
    ['an administrator', 'WrongUser', async () => installation.admin],
  ])('denies %s', async (_, reason, connect) => {
    installation.startSigner();
    const options = { transport: await connect(), nodeName: 'node-b', lifetimeSeconds: 600, log: installation.log };
    await expect(requestCertificate(options, never)).rejects.toThrow(/may ask for/);
    const [request] = await installation.requests.list();
    expect(request?.status).toEqual({ conditions: [expect.objectContaining({ type: 'Denied', reason })] });
  });

  it('fails what a person approved against the rules', async () => {
    const options = { transport: installation.admin, nodeName: 'node-a', lifetimeSeconds: 600, log: installation.log };
    const asked = requestCertificate(options, never);
    const refused = expect(asked).rejects.toThrow('may ask for a certificate');
    await approveByHand();
    installation.startSigner();
    await refused;
    const [request] = await installation.requests.list();
    expect(request && signingStateOf(request)).toBe('failed');
    expect(request?.status?.certificate).toBeUndefined();
  });

  it('takes up what a controller that crashed has approved and not signed', async () => {
    const transport = await installation.connectNode('node-a');
    const asked = requestCertificate(
      { transport, nodeName: 'node-a', lifetimeSeconds: 600, log: installation.log },
      never,
    );
    await approveByHand();
    installation.startSigner();
    expect((await asked).endsAt.getTime()).toBeGreaterThan(Date.now());
  });

  it('gives no longer life than was asked for', async () => {
    installation.startSigner();
    const transport = await installation.connectNode('node-a');
    const { endsAt } = await requestCertificate(
      { transport, nodeName: 'node-a', lifetimeSeconds: 600, log: installation.log },
      never,
    );
    expect(endsAt.getTime() - Date.now()).toBeLessThanOrEqual(600_000);
  });

  it('makes the ConfigMap again', async () => {
    installation.startSigner({ authorityMs: 20_000 });
    const written = async () => (await bundle()) || undefined;
    const before = await waitFor(written, { what: 'bundle' });
    await installation.configMaps.delete(CA_KEY);
    const after = await waitFor(written, { what: 'bundle' });
    // The next authority may have come meanwhile.
    expect(pemBlocks('CERTIFICATE', after)).toEqual(expect.arrayContaining(pemBlocks('CERTIFICATE', before).slice(-1)));
  });

  it('leaves a Secret alone that it can not read', async () => {
    const [namespace = '', name = ''] = CA_KEY.split('/');
    const data = { 'ca.crt': Buffer.from('junk').toString('base64'), 'ca.key': 'AAAA' };
    const pem = Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n').toString('base64');
    await installation.secrets.create({ metadata: { namespace, name }, data: { ...data, 'ca.crt': pem } });
    const store = createAuthorityStore({
      transport: installation.admin,
      namespace,
      clock: systemClock,
      timings: defaultTimings,
    });
    await expect(store.ensure(never)).rejects.toThrow(`Secret ${CA_KEY} can't be used`);
    expect((await installation.secrets.get(CA_KEY))?.data).toEqual({ ...data, 'ca.crt': pem });
  });

  it('makes one authority when two controllers make the first at once', async () => {
    const options = {
      transport: installation.admin,
      namespace: NAMESPACE,
      clock: systemClock,
      timings: defaultTimings,
    };
    const stores = Array.from({ length: 4 }, () => createAuthorityStore(options));
    const results = await Promise.allSettled(stores.map((store) => store.ensure(never)));
    const losers = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(losers.filter((error) => !isAlreadyExists(error))).toEqual([]);
    expect(await Promise.all(stores.map((store) => store.ensure(never)))).toEqual(Array(4).fill('kept'));
    const signers = await Promise.all(stores.map((store) => store.signer(never)));
    expect(new Set(signers.map((signer) => signer?.certificatePem)).size).toBe(1);
    expect(pemBlocks('CERTIFICATE', await bundle())).toEqual([signers[0]?.certificatePem]);
  });
});

describe('startTransferIdentity', () => {
  it('renews its certificate, with another key, before it ends', async () => {
    installation.startSigner({ certificateMs: 4_000 });
    const { seen, known } = await installation.startIdentity('node-a');
    const first = await known();
    const second = await waitFor(() => seen[1], { what: 'second certificate' });
    expect(Date.now()).toBeLessThan(endOf(first).getTime());
    expect(second.keyPem).not.toBe(first.keyPem);
  });

  it('trusts and is trusted at every moment while authorities take turns', async () => {
    installation.startSigner({ authorityMs: 9_000, propagationMs: 1_500, certificateMs: 2_500 });
    const [a, b] = [await installation.startIdentity('node-a'), await installation.startIdentity('node-b')];
    await Promise.all([a.known(), b.known()]);
    const authorities = new Set<string>();
    const deadline = Date.now() + 12_000;
    while (Date.now() < deadline) {
      expect(await transfer(await a.known(), await b.known())).toBe('for node-b');
      for (const pem of pemBlocks('CERTIFICATE', await bundle())) authorities.add(pem);
      await systemClock.sleep(50);
    }
    expect(authorities.size).toBeGreaterThanOrEqual(3);
    expect(pemBlocks('CERTIFICATE', await bundle()).length).toBeLessThanOrEqual(3);
  });

  it('asks anew when its authority was replaced', async () => {
    installation.startSigner({ authorityMs: 10_000 });
    const [a, b] = [await installation.startIdentity('node-a'), await installation.startIdentity('node-b')];
    const old = await a.known();
    await b.known();
    await installation.secrets.delete(CA_KEY);
    await waitFor(() => [a, b].every(({ identity }) => identity.current()?.caPem !== old.caPem), {
      what: 'new authority',
    });
    await waitFor(async () => (await transfer(await a.known(), await b.known())) === 'for node-b', {
      what: 'transfer',
    });
  });

  it('says why it has no certificate', async () => {
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const { identity } = await installation.startIdentity('node-a');
    expect(identity.complaint()).toBe('no certificate yet');
    await waitFor(async () => (await installation.requests.list()).length === 1, { what: 'request' });
    for (const { metadata } of await installation.requests.list()) await installation.requests.delete(metadata.name);
    await waitFor(() => identity.complaint()?.includes('was deleted before it was signed'), { what: 'complaint' });
  });
});

async function approveByHand(): Promise<void> {
  const [request] = await waitFor(
    async () => {
      const all = await installation.requests.list();
      return all.length > 0 && all;
    },
    { what: 'request' },
  );
  const condition = { type: 'Approved', status: 'True', reason: 'ByHand', message: '' };
  const patch = { status: { conditions: [condition] } };
  await installation.requests.patch(request?.metadata.name ?? '', patch, { type: 'merge', subresource: 'approval' });
}
