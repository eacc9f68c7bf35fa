import { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import { TRANSFER_CA, TRANSFER_CA_BUNDLE_KEY } from '../../api/group.ts';
import { type ConfigMap, configMapType } from '../../kube/certificate-types.ts';
import { startReflector } from '../../kube/reflector.ts';
import type { Transport } from '../../kube/transport.ts';
import { pemBlocks } from '../../net/certificates/pem.ts';
import type { TlsIdentity } from '../../net/transfer-tls.ts';
import { createBackoff } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import { CertificateRefusedError, type NodeCertificate, requestCertificate } from './request-certificate.ts';

export interface TransferIdentityOptions {
  readonly transport: Transport;
  /** Of the operator: where the certificates of its authorities are. */
  readonly namespace: string;
  readonly nodeName: string;
  readonly log: Logger;
  readonly clock: Clock;
  /** Told of the first identity and of each that takes its place. */
  readonly onChange: (identity: TlsIdentity) => void;
  /** Asked for; a day if absent. The API server takes 600 at least. */
  readonly lifetimeSeconds?: number;
}

/** Who this node is to others, renewed for as long as it runs. */
export interface TransferIdentity {
  current(): TlsIdentity | undefined;
  /** When the certificate ends; undefined while there is none. */
  endsAt(): Date | undefined;
  /** Why there is none, or why it is not renewed; undefined if all is well. */
  complaint(): string | undefined;
  stop(): Promise<void>;
}

const DAY_SECONDS = 86_400;
/** Part of a certificate's life after which it is renewed, less up to a tenth of it so that nodes do not come all at once. */
const RENEW_AFTER = 2 / 3;
const JITTER = 0.1;
const BACKOFF = { baseMs: 1_000, maxMs: 300_000 };
/** An authority that nobody else knows yet must not make us ask again and again. */
const MIN_RENEWAL_MS = 500;

/** Asks for a certificate at once, and again before it ends or when its authority is no longer believed. */
export function startTransferIdentity(options: TransferIdentityOptions): TransferIdentity {
  const { transport, namespace, nodeName, log, clock, onChange, lifetimeSeconds = DAY_SECONDS } = options;
  const stopped = new AbortController();
  const backoff = createBackoff(BACKOFF);
  let own: NodeCertificate | undefined;
  let caPem: string | undefined;
  let current: TlsIdentity | undefined;
  let complaint: string | undefined = 'no certificate yet';
  let distrusted = new AbortController();

  const publish = () => {
    if (own === undefined || caPem === undefined) return;
    current = { keyPem: own.keyPem, certificatePem: own.certificatePem, caPem };
    onChange(current);
  };
  const bundle = startReflector<ConfigMap>({
    transport,
    type: configMapType,
    namespace,
    fieldSelector: `metadata.name=${TRANSFER_CA}`,
    log,
    clock,
    onChange({ kind, object }) {
      const text = object.data?.[TRANSFER_CA_BUNDLE_KEY] ?? '';
      // What is gone by mistake is made again; until then who was trusted is trusted.
      if (kind === 'deleted' || text === caPem || pemBlocks('CERTIFICATE', text).length === 0) return;
      caPem = text;
      publish();
      if (own !== undefined && !isIssuedByOneOf(own.certificatePem, text)) distrusted.abort();
    },
  });

  const obtain = async () => {
    own = await requestCertificate({ transport, nodeName, lifetimeSeconds, log }, stopped.signal);
    backoff.reset('');
    complaint = undefined;
    log.info({ endsAt: own.endsAt }, 'transfer certificate obtained');
    distrusted = new AbortController();
    publish();
    const lifeMs = own.endsAt.getTime() - clock.now().getTime();
    const renewInMs = Math.max(lifeMs * RENEW_AFTER * (1 - JITTER * Math.random()), MIN_RENEWAL_MS);
    await clock.sleep(renewInMs, AbortSignal.any([stopped.signal, distrusted.signal]));
  };
  const run = async () => {
    while (!stopped.signal.aborted) {
      try {
        await obtain();
      } catch (err) {
        if (stopped.signal.aborted) return;
        complaint =
          err instanceof CertificateRefusedError
            ? `no certificate for transfers: ${err.message}`
            : 'no certificate for transfers: the API server does not take the request';
        log.warn({ err }, 'no transfer certificate');
        await clock.sleep(backoff.next(''), stopped.signal);
      }
    }
  };
  const running = run();
  return {
    current: () => current,
    endsAt: () => own?.endsAt,
    complaint: () => complaint ?? (caPem === undefined ? 'no authority for transfers yet' : undefined),
    async stop() {
      stopped.abort(new Error('stopping'));
      await Promise.all([running, bundle.stop()]);
    },
  };
}

function isIssuedByOneOf(certificatePem: string, caPem: string): boolean {
  const certificate = new X509Certificate(certificatePem);
  return pemBlocks('CERTIFICATE', caPem).some((pem) => {
    const authority = new X509Certificate(pem);
    return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  });
}
