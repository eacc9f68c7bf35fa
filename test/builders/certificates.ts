import { createAuthority, issueCertificate } from '../../src/net/certificates/authority.ts';
import { createKeyPair, keyPemOf } from '../../src/net/certificates/keys.ts';
import { nodeUri } from '../../src/net/certificates/node-uri.ts';
import type { TlsIdentity } from '../../src/net/transfer-tls.ts';

const HOUR_MS = 3_600_000;

export interface TestIdentityOptions {
  /** Instead of the node's. */
  readonly uri?: string;
  /** Milliseconds from now at which the certificate ends; an hour if absent. */
  readonly endsInMs?: number;
  /** What the owner trusts; its own authority if absent. */
  readonly trusts?: string;
}

/** An authority and identities by it. */
export function createTestAuthority() {
  const now = new Date();
  const authority = createAuthority({ now, notAfter: new Date(now.getTime() + 24 * HOUR_MS) });
  return {
    caPem: authority.certificatePem,
    identityOf(nodeName: string, options: TestIdentityOptions = {}): TlsIdentity {
      const { uri = nodeUri(nodeName), endsInMs = HOUR_MS, trusts = authority.certificatePem } = options;
      const keys = createKeyPair();
      const notAfter = new Date(now.getTime() + endsInMs);
      return {
        keyPem: keyPemOf(keys),
        certificatePem: issueCertificate(authority, {
          now,
          notAfter,
          commonName: nodeName,
          uri,
          publicKey: keys.publicKey,
        }),
        caPem: trusts,
      };
    },
  };
}
