import { describe, expect, it } from 'vitest';
import { decideSigning } from '../../../src/controller/certificates/refuse.ts';
import { type CertificateSigningRequest, signingStateOf } from '../../../src/kube/certificate-types.ts';
import { createKeyPair, type KeyPair } from '../../../src/net/certificates/keys.ts';
import { nodeUri } from '../../../src/net/certificates/node-uri.ts';
import { derOfPem, pemOf } from '../../../src/net/certificates/pem.ts';
import { createSigningRequest } from '../../../src/net/certificates/signing-request.ts';

const USERNAME = 'system:serviceaccount:btrfs-operator:btrfs-operator-agent';
const CLAIM = 'authentication.kubernetes.io/node-name';

function csr(
  spec: Partial<CertificateSigningRequest['spec']> = {},
  status?: CertificateSigningRequest['status'],
): CertificateSigningRequest {
  return {
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: 'a', uid: '1', resourceVersion: '1' },
    spec: {
      request: requestFor(nodeUri('node-a')),
      signerName: 'btrfs-operator.io/transfer',
      usages: ['digital signature', 'client auth', 'server auth'],
      username: USERNAME,
      extra: { [CLAIM]: ['node-a'] },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

function requestFor(uri: string, keys: KeyPair = createKeyPair()): string {
  return Buffer.from(createSigningRequest('node-a', uri, keys)).toString('base64');
}

/** Signed by another key than the one in it. */
function forgedRequest(): string {
  const der = derOfPem('CERTIFICATE REQUEST', Buffer.from(requestFor(nodeUri('node-a')), 'base64').toString());
  const own = createKeyPair().publicKey.export({ type: 'spki', format: 'der' });
  const at = der.indexOf(own.subarray(0, 26));
  own.copy(der, at);
  return Buffer.from(pemOf('CERTIFICATE REQUEST', der)).toString('base64');
}

describe('decideSigning', () => {
  const rules = { username: USERNAME };

  it('signs for the node that the asker was proven to be on', () => {
    const keys = createKeyPair();
    const verdict = decideSigning(csr({ request: requestFor(nodeUri('node-a'), keys) }), rules);
    expect(verdict).toMatchObject({ kind: 'acceptance', nodeName: 'node-a' });
    expect(verdict.kind === 'acceptance' && verdict.request.publicKey.equals(keys.publicKey)).toBe(true);
  });

  it.each([
    ['another user', { username: 'system:serviceaccount:default:other' }, 'WrongUser'],
    ['no user', { username: undefined }, 'WrongUser'],
    ['no claim of a node', { extra: {} }, 'NoNodeClaim'],
    ['nothing known about the user', { extra: undefined }, 'NoNodeClaim'],
    ['two claims', { extra: { [CLAIM]: ['node-a', 'node-b'] } }, 'NoNodeClaim'],
    ['an empty claim', { extra: { [CLAIM]: [] } }, 'NoNodeClaim'],
    ["another node's claim", { extra: { [CLAIM]: ['node-b'] } }, 'WrongName'],
    ["another node's name", { request: requestFor(nodeUri('node-b')) }, 'WrongName'],
    ['a name that only begins alike', { request: requestFor(`${nodeUri('node-a')}.evil`) }, 'WrongName'],
    ['a name that is no node', { request: requestFor('https://node-a') }, 'WrongName'],
    ['no usages', { usages: [] }, 'WrongUsages'],
    ['fewer usages', { usages: ['client auth', 'server auth'] }, 'WrongUsages'],
    ['more usages', { usages: ['digital signature', 'client auth', 'server auth', 'cert sign'] }, 'WrongUsages'],
    ['a signature of another key', { request: forgedRequest() }, 'UnreadableRequest'],
    ['no request', { request: '' }, 'UnreadableRequest'],
    ['another signer', { signerName: 'kubernetes.io/kube-apiserver-client' }, 'UnreadableRequest'],
  ] satisfies [string, Partial<CertificateSigningRequest['spec']>, string][])('refuses %s', (_, spec, reason) => {
    expect(decideSigning(csr(spec), rules)).toMatchObject({ kind: 'refusal', reason });
  });

  it('takes any user who proves his node when none is asked for', () => {
    const anyone = { username: undefined };
    expect(decideSigning(csr({ username: 'other' }), anyone)).toMatchObject({ kind: 'acceptance' });
    expect(decideSigning(csr({ username: 'other', extra: {} }), anyone)).toMatchObject({ reason: 'NoNodeClaim' });
  });
});

describe('signingStateOf', () => {
  const condition = (type: string) => ({ type, status: 'True' });
  it.each([
    [undefined, 'pending'],
    [{ conditions: [] }, 'pending'],
    [{ conditions: [condition('Approved')] }, 'approved'],
    [{ conditions: [condition('Approved')], certificate: 'x' }, 'issued'],
    [{ conditions: [condition('Denied')] }, 'denied'],
    [{ conditions: [condition('Approved'), condition('Failed')] }, 'failed'],
  ] as const)('%j is %s', (status, state) => {
    expect(signingStateOf(csr({}, status))).toBe(state);
  });
});
