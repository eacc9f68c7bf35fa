import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createKeyPair } from '../../../../src/net/certificates/keys.ts';
import { nodeNameOfAltNames, nodeNameOfUri, nodeUri } from '../../../../src/net/certificates/node-uri.ts';
import { parseSigningRequest } from '../../../../src/net/certificates/parse-signing-request.ts';
import { derOfPem, pemOf } from '../../../../src/net/certificates/pem.ts';
import { createSigningRequest } from '../../../../src/net/certificates/signing-request.ts';

const LABEL = 'CERTIFICATE REQUEST';

/** A request made by openssl with these arguments. */
function opensslRequest(keyArgs: readonly string[], requestArgs: readonly string[] = []): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'request-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  execFileSync('openssl', ['genpkey', '-out', 'key.pem', ...keyArgs], { cwd: dir, stdio: 'pipe' });
  const args = ['req', '-new', '-key', 'key.pem', '-subj', '/CN=x', '-out', 'request.pem', ...requestArgs];
  execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  return readFileSync(`${dir}/request.pem`, 'utf8');
}

const P256 = ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];

describe('createSigningRequest', () => {
  it.each(['a', 'node-a', 'n'.repeat(100), 'n'.repeat(253)])('asks for the URI of node %s', (nodeName) => {
    const keys = createKeyPair();
    const parsed = parseSigningRequest(createSigningRequest(nodeName, nodeUri(nodeName), keys));
    expect(parsed).toMatchObject({ keyType: 'P-256', uris: [nodeUri(nodeName)], altNameCount: 1 });
    expect(parsed.publicKey.equals(keys.publicKey)).toBe(true);
  });

  it('makes what openssl reads and verifies', () => {
    const input = createSigningRequest('node-a', nodeUri('node-a'), createKeyPair());
    const text = execFileSync('openssl', ['req', '-verify', '-noout', '-text'], {
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(text).toContain('Subject: CN = node-a');
    expect(text).toContain('URI:btrfs-operator://node/node-a');
  });
});

describe('parseSigningRequest', () => {
  it('reads what openssl makes', () => {
    const names = 'subjectAltName=URI:btrfs-operator://node/a,DNS:a.example,IP:10.0.0.1';
    expect(parseSigningRequest(opensslRequest(P256, ['-addext', names]))).toMatchObject({
      keyType: 'P-256',
      uris: [nodeUri('a')],
      altNameCount: 3,
    });
    const names2 = ['-addext', `subjectAltName=URI:${nodeUri('b')}`];
    expect(parseSigningRequest(opensslRequest(['-algorithm', 'ED25519'], names2))).toMatchObject({
      keyType: 'Ed25519',
    });
    expect(parseSigningRequest(opensslRequest(P256))).toMatchObject({ uris: [], altNameCount: 0 });
  });

  it.each([
    ['RSA', ['-algorithm', 'RSA'], []],
    ['P-384', ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384'], []],
  ])('refuses a key of kind %s', (_, keyArgs, requestArgs) => {
    expect(() => parseSigningRequest(opensslRequest(keyArgs, requestArgs))).toThrow('neither P-256 nor Ed25519');
  });

  it('refuses other extensions', () => {
    const request = opensslRequest(P256, ['-addext', 'basicConstraints=critical,CA:TRUE']);
    expect(() => parseSigningRequest(request)).toThrow('an extension other than alternative names');
  });

  it('refuses a signature by another hash', () => {
    expect(() => parseSigningRequest(opensslRequest(P256, ['-sha512']))).toThrow('the signature does not fit');
  });

  it('refuses a request when any byte of what is signed, or of the signature, was changed', () => {
    const keys = createKeyPair();
    const der = derOfPem(LABEL, createSigningRequest('node-a', nodeUri('node-a'), keys));
    const signedBytes = der.indexOf(Buffer.from('300a06082a8648ce3d040302', 'hex'));
    const headerBytes = 4;
    const algorithmBytes = 20;
    for (let i = headerBytes; i < der.length; i++) {
      if (i === signedBytes) i += algorithmBytes;
      const changed = Buffer.from(der);
      changed[i] = (changed[i] ?? 0) ^ (1 << (i % 8));
      expect(() => parseSigningRequest(pemOf(LABEL, changed)), `byte ${i}`).toThrow(TypeError);
    }
  });

  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['another block', pemOf('CERTIFICATE', Buffer.from('x'))],
    ['two blocks', pemOf(LABEL, Buffer.from('x')).repeat(2)],
    ['garbage', pemOf(LABEL, Buffer.from('garbage'))],
    ['too much', pemOf(LABEL, Buffer.alloc(20_000))],
  ])('refuses %s', (_, pem) => {
    expect(() => parseSigningRequest(pem)).toThrow(TypeError);
  });
});

describe('nodeNameOfUri', () => {
  it.each(['a', 'node-a', '10.0.0.5', 'a.b.example'])('knows the URI of %s', (name) => {
    expect(nodeNameOfUri(nodeUri(name))).toBe(name);
    expect(nodeNameOfAltNames(`URI:${nodeUri(name)}`)).toBe(name);
  });

  it.each(['', 'a/b', 'A', 'a b', '-a', 'a-', 'ä', 'a\n', 'a%2f', `${'n'.repeat(254)}`])(
    'takes nothing else: %j',
    (name) => {
      expect(() => nodeUri(name)).toThrow(TypeError);
      expect(nodeNameOfUri(`btrfs-operator://node/${name}`)).toBeUndefined();
    },
  );

  it.each([
    undefined,
    '',
    'DNS:node-a',
    'URI:https://node-a',
    `URI:${nodeUri('a')}, DNS:b`,
    `URI:${nodeUri('a')}, URI:${nodeUri('b')}`,
    `DNS:b, URI:${nodeUri('a')}`,
    `URI:"${nodeUri('a')}"`,
  ])('nodeNameOfAltNames: takes no certificate with other or more names: %j', (altNames) => {
    expect(nodeNameOfAltNames(altNames)).toBeUndefined();
  });
});
