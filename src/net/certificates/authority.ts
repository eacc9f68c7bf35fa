import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';
import { createKeyPair, keyPemOf, keyTypeOf, SIGNATURE_OID, signBytes } from './keys.ts';
import { pemOf } from './pem.ts';
import { COMMON_NAME_MAX_LENGTH } from './signing-request.ts';

/** Certificates are valid from so long before they were made: the clocks of nodes differ. */
const BACKDATE_MS = 5 * 60_000;
const SERIAL_BYTES = 16;
const COMMON_NAME = '2.5.4.3';

/** A certificate authority with its key, both in PEM. */
export interface Authority {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Lifetime {
  readonly now: Date;
  readonly notAfter: Date;
}

/** A new authority that signs certificates of nodes and no other authorities. */
export function createAuthority({ now, notAfter }: Lifetime): Authority {
  const keys = createKeyPair();
  // Each has a name of its own: certificates of the old and of the new one must not be mixed up.
  const name = nameOf(`btrfs-operator transfer CA ${randomBytes(4).toString('hex')}`);
  const keyId = keyIdOf(keys.publicKey);
  const certificatePem = sign(
    { subject: name, issuer: name, publicKey: keys.publicKey, now, notAfter },
    [
      extension(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), 'critical'),
      extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign), 'critical'),
      extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyId)),
    ],
    keys.privateKey,
  );
  return { certificatePem, keyPem: keyPemOf(keys) };
}

export interface IssueOptions extends Lifetime {
  readonly commonName: string;
  readonly uri: string;
  readonly publicKey: KeyObject;
}

/** A certificate in PEM for both ends of TLS, whose only name is the URI; never valid for longer than the authority. */
export function issueCertificate(authority: Authority, options: IssueOptions): string {
  const issuer = new X509Certificate(authority.certificatePem);
  const notAfter = new Date(Math.min(options.notAfter.getTime(), issuer.validToDate.getTime()));
  const altName = new SubjectAlternativeName([new GeneralName({ uniformResourceIdentifier: options.uri })]);
  const issuerKeyId = new KeyIdentifier(keyIdOf(issuer.publicKey));
  return sign(
    {
      subject: nameOf(options.commonName),
      issuer: AsnConvert.parse(bufferOf(issuer.raw), Certificate).tbsCertificate.subject,
      publicKey: options.publicKey,
      now: options.now,
      notAfter,
    },
    [
      extension(id_ce_basicConstraints, new BasicConstraints(), 'critical'),
      extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), 'critical'),
      extension(id_ce_extKeyUsage, new ExtendedKeyUsage([id_kp_serverAuth, id_kp_clientAuth])),
      extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdOf(options.publicKey))),
      extension(id_ce_authorityKeyIdentifier, new AuthorityKeyIdentifier({ keyIdentifier: issuerKeyId })),
      extension(id_ce_subjectAltName, altName),
    ],
    createPrivateKey(authority.keyPem),
  );
}

/** Whether the key is that of the certificate. Throws on what is neither. */
export function isWhole({ certificatePem, keyPem }: Authority): boolean {
  const key = createPublicKey(createPrivateKey(keyPem));
  return new X509Certificate(certificatePem).publicKey.equals(key);
}

interface Subject extends Lifetime {
  readonly subject: Name;
  readonly issuer: Name;
  readonly publicKey: KeyObject;
}

function sign(
  { subject, issuer, publicKey, now, notAfter }: Subject,
  extensions: Extension[],
  privateKey: KeyObject,
): string {
  const algorithm = new AlgorithmIdentifier({ algorithm: SIGNATURE_OID[keyTypeOf(privateKey) ?? 'P-256'] });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: serialNumber(),
    signature: algorithm,
    issuer,
    validity: new Validity({ notBefore: new Date(now.getTime() - BACKDATE_MS), notAfter }),
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(publicKey.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo),
    extensions: new Extensions(extensions),
  });
  const signatureValue = bufferOf(signBytes(Buffer.from(AsnConvert.serialize(tbsCertificate)), privateKey));
  const certificate = new Certificate({ tbsCertificate, signatureAlgorithm: algorithm, signatureValue });
  return pemOf('CERTIFICATE', Buffer.from(AsnConvert.serialize(certificate)));
}

/** A subject or issuer that consists of a common name, cut at its limit. */
function nameOf(commonName: string): Name {
  const value = new AttributeValue({ utf8String: commonName.slice(0, COMMON_NAME_MAX_LENGTH) });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: COMMON_NAME, value })])]);
}

/** Random, positive and not shorter for a leading zero (RFC 5280, 4.1.2.2). */
function serialNumber(): ArrayBuffer {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bufferOf(bytes);
}

/** RFC 7093: the leftmost 160 bits of a SHA-256. */
function keyIdOf(publicKey: KeyObject): ArrayBuffer {
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return bufferOf(createHash('sha256').update(der).digest().subarray(0, 20));
}

function extension(extnID: string, value: object, critical?: 'critical'): Extension {
  const extnValue = new OctetString(AsnConvert.serialize(value));
  return new Extension({ extnID, critical: critical === 'critical', extnValue });
}

/** The bytes alone: a small Buffer is a window into memory that others use too. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
