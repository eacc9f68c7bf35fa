import { generateKeyPairSync, type KeyObject, type KeyPairKeyObjectResult, sign, verify } from 'node:crypto';

export type KeyPair = Pick<KeyPairKeyObjectResult, 'publicKey' | 'privateKey'>;

/** The only two kinds of keys that are taken. */
export type KeyType = 'P-256' | 'Ed25519';

/** How each kind of key signs, as X.509 calls it: ecdsa-with-SHA256 (RFC 5758) and id-Ed25519 (RFC 8410). */
export const SIGNATURE_OID: Readonly<Record<KeyType, string>> = {
  'P-256': '1.2.840.10045.4.3.2',
  Ed25519: '1.3.101.112',
};

/** A fresh P-256 key: the fastest that every TLS library knows. */
export function createKeyPair(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

/** Undefined for any other kind of key. */
export function keyTypeOf(key: KeyObject): KeyType | undefined {
  if (key.asymmetricKeyType === 'ed25519') return 'Ed25519';
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  return isP256 ? 'P-256' : undefined;
}

/** The private key in PEM, as node:tls wants it. */
export function keyPemOf({ privateKey }: Pick<KeyPair, 'privateKey'>): string {
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

/** The signature over `content`, as X.509 holds it. Throws TypeError on a key of another kind. */
export function signBytes(content: Uint8Array, privateKey: KeyObject): Buffer {
  const keyType = keyTypeOf(privateKey);
  if (keyType === undefined) throw new TypeError('a key that is neither P-256 nor Ed25519');
  return sign(digestOf(keyType), content, privateKey);
}

export interface SignedContent {
  readonly content: Uint8Array;
  readonly signature: Uint8Array;
  /** OID of the algorithm that the signature claims to be of. */
  readonly algorithm: string;
}

/** Whether the signature is of this key, by the one algorithm that goes with it. */
export function isSignedBy({ content, signature, algorithm }: SignedContent, publicKey: KeyObject): boolean {
  const keyType = keyTypeOf(publicKey);
  if (keyType === undefined || SIGNATURE_OID[keyType] !== algorithm) return false;
  return verify(digestOf(keyType), content, publicKey, signature);
}

function digestOf(keyType: KeyType): 'sha256' | null {
  return keyType === 'P-256' ? 'sha256' : null;
}
