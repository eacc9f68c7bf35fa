import { createPublicKey, type KeyObject } from 'node:crypto';
import { CertificationRequest, type CertificationRequestInfo } from '@peculiar/asn1-csr';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Extensions, type GeneralName, id_ce_subjectAltName, SubjectAlternativeName } from '@peculiar/asn1-x509';
import { isSignedBy, type KeyType, keyTypeOf } from './keys.ts';
import { derOfPem } from './pem.ts';
import { SIGNING_REQUEST_LABEL } from './signing-request.ts';

/** PKCS #9 extensionRequest, RFC 2985. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
/** Ours have about 400 characters; nothing larger is looked at. */
const MAX_PEM_LENGTH = 16_384;

/** What is asked for, by whoever has the private key of `publicKey`. */
export interface SigningRequest {
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  /** Alternative names that are URIs. */
  readonly uris: readonly string[];
  /** Number of alternative names of all kinds. */
  readonly altNameCount: number;
}

/**
 * Reads a PKCS #10 request and proves that its maker has the key. Throws TypeError that says what is wrong with it: not a
 * request, another kind of key, a signature that does not fit, extensions other than alternative names.
 */
export function parseSigningRequest(pem: string): SigningRequest {
  if (pem.length > MAX_PEM_LENGTH) throw new TypeError(`longer than ${MAX_PEM_LENGTH} characters`);
  const request = decode(derOfPem(SIGNING_REQUEST_LABEL, pem));
  const info = request.certificationRequestInfo;
  const publicKey = publicKeyOf(info);
  const keyType = keyTypeOf(publicKey);
  if (keyType === undefined) throw new TypeError('the key is neither P-256 nor Ed25519');
  // The signature is over the bytes that came, not over what we would write.
  const content = Buffer.from(request.certificationRequestInfoRaw ?? AsnConvert.serialize(info));
  const { algorithm } = request.signatureAlgorithm;
  if (!isSignedBy({ content, signature: Buffer.from(request.signature), algorithm }, publicKey)) {
    throw new TypeError('the signature does not fit the key');
  }
  const altNames = altNamesOf(info);
  const uris = altNames.flatMap(({ uniformResourceIdentifier: uri }) => (uri === undefined ? [] : [uri]));
  return { publicKey, keyType, uris, altNameCount: altNames.length };
}

function decode(der: Buffer): CertificationRequest {
  try {
    return AsnConvert.parse(der, CertificationRequest);
  } catch (cause) {
    throw new TypeError('not a PKCS #10 request', { cause });
  }
}

function publicKeyOf(info: CertificationRequestInfo): KeyObject {
  try {
    const der = Buffer.from(AsnConvert.serialize(info.subjectPKInfo));
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  } catch (cause) {
    throw new TypeError('the public key can not be read', { cause });
  }
}

function altNamesOf(info: CertificationRequestInfo): readonly GeneralName[] {
  const requested = [...info.attributes]
    .filter(({ type }) => type === EXTENSION_REQUEST)
    .flatMap(({ values }) => values);
  const extensions = requested.flatMap((value) => [...read(value, Extensions)]);
  if (extensions.some(({ extnID }) => extnID !== id_ce_subjectAltName)) {
    throw new TypeError('an extension other than alternative names is asked for');
  }
  return extensions.flatMap(({ extnValue }) => [...read(extnValue.buffer, SubjectAlternativeName)]);
}

function read<T>(der: ArrayBuffer, type: new () => T): T {
  try {
    return AsnConvert.parse(der, type);
  } catch (cause) {
    throw new TypeError('the extensions can not be read', { cause });
  }
}
