import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';

/**
 * Trusts the authorities that Node brings along, those of the system, and those of `pem`. Reading them takes some ms:
 * the last one made is given again for the same `pem`.
 */
export function createTrust(): (pem: string) => SecureContext {
  let last: { readonly pem: string; readonly context: SecureContext } | undefined;
  return (pem) => {
    if (last?.pem !== pem) {
      const ca = [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
      last = { pem, context: createSecureContext({ ca: pem === '' ? ca : [...ca, pem] }) };
    }
    return last.context;
  };
}
