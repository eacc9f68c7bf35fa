import { type KeyPair, signBytes } from './keys.ts';
import { pemOf } from './pem.ts';

// Each agent writes one of these a day. By hand it is a page; the X.509 library, which the controller reads them with, would
// stay in the memory of every node with 8 MB.

export const SIGNING_REQUEST_LABEL = 'CERTIFICATE REQUEST';
/** RFC 5280, ub-common-name. */
export const COMMON_NAME_MAX_LENGTH = 64;

/** Tags of ASN.1 (X.690), as far as they are needed here. */
const TAG = { integer: 0x02, bitString: 0x03, octetString: 0x04, utf8String: 0x0c, sequence: 0x30, set: 0x31 } as const;
/** `attributes` of a CertificationRequestInfo, RFC 2986. */
const ATTRIBUTES = 0xa0;
/** `uniformResourceIdentifier` of a GeneralName, RFC 5280. */
const URI = 0x86;

/** Object identifiers as they are encoded. */
const COMMON_NAME = Buffer.from('0603550403', 'hex');
const EXTENSION_REQUEST = Buffer.from('06092a864886f70d01090e', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');

/** A PKCS #10 request (RFC 2986) in PEM for a certificate with this URI as its only name. `keys` is a P-256 key. */
export function createSigningRequest(commonName: string, uri: string, keys: KeyPair): string {
  const name = element(TAG.utf8String, Buffer.from(commonName.slice(0, COMMON_NAME_MAX_LENGTH)));
  const subject = sequence(element(TAG.set, sequence(COMMON_NAME, name)));
  const altNames = sequence(element(URI, Buffer.from(uri)));
  const extensions = sequence(sequence(SUBJECT_ALT_NAME, element(TAG.octetString, altNames)));
  const info = sequence(
    element(TAG.integer, Buffer.of(0)),
    subject,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    element(ATTRIBUTES, sequence(EXTENSION_REQUEST, element(TAG.set, extensions))),
  );
  const signature = element(TAG.bitString, Buffer.of(0), signBytes(info, keys.privateKey));
  return pemOf(SIGNING_REQUEST_LABEL, sequence(info, sequence(ECDSA_WITH_SHA256), signature));
}

function sequence(...content: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, ...content);
}

/** Tag, length, content: the distinguished encoding, X.690 10.1. */
function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body]);
  const length = Buffer.alloc(3);
  length.writeUInt8(0x82, 0);
  length.writeUInt16BE(body.length, 1);
  const minimal = body.length < 0x100 ? Buffer.of(0x81, body.length) : length;
  return Buffer.concat([Buffer.of(tag), minimal, body]);
}
