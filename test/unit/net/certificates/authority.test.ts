import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAuthority, issueCertificate, isWhole } from '../../../../src/net/certificates/authority.ts';
import { createKeyPair } from '../../../../src/net/certificates/keys.ts';
import { nodeUri } from '../../../../src/net/certificates/node-uri.ts';

const now = new Date('2026-03-01T12:00:00Z');
const in10Days = new Date('2026-03-11T12:00:00Z');
const in20Days = new Date('2026-03-21T12:00:00Z');

const certificateOf = (
  commonName: string,
  notAfter: Date,
  authority = createAuthority({ now, notAfter: in10Days }),
) => {
  const { publicKey } = createKeyPair();
  return new X509Certificate(
    issueCertificate(authority, { now, notAfter, commonName, uri: nodeUri(commonName), publicKey }),
  );
};

describe('createAuthority', () => {
  it('makes a certificate and its key, of another name each time', () => {
    const [one, other] = [createAuthority({ now, notAfter: in10Days }), createAuthority({ now, notAfter: in10Days })];
    const certificate = new X509Certificate(one.certificatePem);
    expect(certificate).toMatchObject({ ca: true, validToDate: in10Days });
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.subject).not.toBe(new X509Certificate(other.certificatePem).subject);
    expect([isWhole(one), isWhole({ ...one, keyPem: other.keyPem })]).toEqual([true, false]);
  });
});

describe('issueCertificate', () => {
  it('names the node by a URI and nothing else', () => {
    const certificate = certificateOf('node-a', in10Days);
    expect(certificate).toMatchObject({
      ca: false,
      subject: 'CN=node-a',
      subjectAltName: 'URI:btrfs-operator://node/node-a',
      validFromDate: new Date('2026-03-01T11:55:00Z'),
    });
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it('cuts a common name that is too long, and keeps the name of the node', () => {
    const name = 'n'.repeat(253);
    const certificate = certificateOf(name, in10Days);
    expect(certificate).toMatchObject({
      subject: `CN=${'n'.repeat(64)}`,
      subjectAltName: `URI:btrfs-operator://node/${name}`,
    });
  });

  it('gives no certificate that outlives its authority', () => {
    expect(certificateOf('node-a', in20Days).validToDate).toEqual(in10Days);
  });

  it('makes what openssl accepts by its strict rules, for both ends of TLS', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'certificates-'));
    onTestFinished(() => rmSync(dir, { recursive: true }));
    const soon = new Date(Date.now() + 3_600_000);
    const authority = createAuthority({ now: new Date(), notAfter: soon });
    writeFileSync(`${dir}/ca.pem`, authority.certificatePem);
    const { publicKey } = createKeyPair();
    const uri = nodeUri('node-a');
    const issued = issueCertificate(authority, { now: new Date(), notAfter: soon, commonName: 'a', uri, publicKey });
    writeFileSync(`${dir}/node.pem`, issued);
    for (const purpose of ['sslclient', 'sslserver']) {
      const args = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'ca.pem', 'node.pem'];
      expect(execFileSync('openssl', args, { cwd: dir, encoding: 'utf8' })).toBe('node.pem: OK\n');
    }
  });
});
