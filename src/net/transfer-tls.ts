import type { SecureContextOptions } from 'node:tls';

/** What an end shows and whom it trusts, all in PEM. */
export interface TlsIdentity {
  readonly keyPem: string;
  readonly certificatePem: string;
  /** The operator's own authorities, one after the other; nobody else is trusted. */
  readonly caPem: string;
}

/** TLS 1.3 only, the cipher that hardware is fastest at first. */
export function tlsOptions({ keyPem, certificatePem, caPem }: TlsIdentity): SecureContextOptions {
  return {
    key: keyPem,
    cert: certificatePem,
    ca: caPem,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  };
}
