import { randomUUID, X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import { TRANSFER_SIGNER } from '../../api/group.ts';
import { type CertificateSigningRequest, signingRequestType, signingStateOf } from '../../kube/certificate-types.ts';
import type { Change } from '../../kube/object-store.ts';
import { startReflector } from '../../kube/reflector.ts';
import { createResourceClient } from '../../kube/resource-client.ts';
import type { Transport } from '../../kube/transport.ts';
import { createKeyPair, keyPemOf } from '../../net/certificates/keys.ts';
import { nodeNameOfAltNames, nodeUri } from '../../net/certificates/node-uri.ts';
import { createSigningRequest } from '../../net/certificates/signing-request.ts';

export interface CertificateRequestOptions {
  readonly transport: Transport;
  readonly nodeName: string;
  /** How long the certificate should be valid; the signer may give less. */
  readonly lifetimeSeconds: number;
  readonly log: Logger;
}

/** A certificate of a node and its key, which is nowhere but in memory. */
export interface NodeCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly endsAt: Date;
}

/** The signer will not sign; its message says why. */
export class CertificateRefusedError extends Error {}

const USAGES = ['digital signature', 'client auth', 'server auth'];
const NAME_PREFIX = 'btrfs-operator-transfer-';

/**
 * Makes a key, asks for a certificate, and waits for as long as it takes. The request is removed by the controller. Throws
 * {@link CertificateRefusedError}, ApiError, or the signal's reason.
 */
export async function requestCertificate(
  { transport, nodeName, lifetimeSeconds, log }: CertificateRequestOptions,
  signal: AbortSignal,
): Promise<NodeCertificate> {
  const keys = createKeyPair();
  const name = NAME_PREFIX + randomUUID();
  const pem = createSigningRequest(nodeName, nodeUri(nodeName), keys);
  const requests = createResourceClient(transport, signingRequestType);
  const spec = {
    request: Buffer.from(pem).toString('base64'),
    signerName: TRANSFER_SIGNER,
    usages: USAGES,
    expirationSeconds: lifetimeSeconds,
  };
  await requests.create({ metadata: { name }, spec }, { signal });
  const certificatePem = await answerTo(name, { transport, log }, signal);
  const certificate = new X509Certificate(certificatePem);
  if (!certificate.publicKey.equals(keys.publicKey) || nodeNameOfAltNames(certificate.subjectAltName) !== nodeName) {
    throw new CertificateRefusedError('the certificate is not the one that was asked for');
  }
  return { keyPem: keyPemOf(keys), certificatePem, endsAt: certificate.validToDate };
}

async function answerTo(
  name: string,
  { transport, log }: Pick<CertificateRequestOptions, 'transport' | 'log'>,
  signal: AbortSignal,
): Promise<string> {
  const answer = Promise.withResolvers<string>();
  const abort = () => answer.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const requests = startReflector<CertificateSigningRequest>({
    transport,
    type: signingRequestType,
    fieldSelector: `metadata.name=${name}`,
    log,
    onChange: (change) => settle(change, answer),
  });
  try {
    return await answer.promise;
  } finally {
    signal.removeEventListener('abort', abort);
    await requests.stop();
  }
}

function settle(
  { kind, object }: Change<CertificateSigningRequest>,
  { resolve, reject }: Pick<PromiseWithResolvers<string>, 'resolve' | 'reject'>,
): void {
  const state = signingStateOf(object);
  const { certificate = '', conditions = [] } = object.status ?? {};
  if (state === 'issued') resolve(Buffer.from(certificate, 'base64').toString('utf8'));
  else if (state === 'denied' || state === 'failed') {
    const verdict = conditions.find(({ type }) => type === 'Denied' || type === 'Failed');
    reject(new CertificateRefusedError(verdict?.message ?? `the request was ${state}`));
  } else if (kind === 'deleted') reject(new CertificateRefusedError('the request was deleted before it was signed'));
}
