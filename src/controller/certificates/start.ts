import type { Logger } from 'pino';
import { TRANSFER_SIGNER } from '../../api/group.ts';
import { type CertificateSigningRequest, signingRequestType } from '../../kube/certificate-types.ts';
import { startReflector } from '../../kube/reflector.ts';
import { createResourceClient } from '../../kube/resource-client.ts';
import type { Transport } from '../../kube/transport.ts';
import type { Metrics } from '../../net/metrics.ts';
import type { Clock } from '../../runtime/clock.ts';
import { recheck } from '../../runtime/outcome.ts';
import { startReconciler } from '../../runtime/reconciler.ts';
import { type CertificateTimings, defaultTimings } from './authorities.ts';
import { createAuthorityStore } from './authority-store.ts';
import { judgeSigning } from './judge.ts';
import { createSigningReconcile } from './reconcile.ts';

export interface CertificatesOptions {
  readonly transport: Transport;
  /** Where the authority is kept: the namespace of the operator. */
  readonly namespace: string;
  /** Service account of the agents in that namespace; empty: any that proves its node. */
  readonly agentServiceAccount: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'reconcilerHooks'>;
  readonly timings?: Partial<CertificateTimings>;
}

/** The certificates of agents, for as long as this process leads. */
export interface Certificates {
  /** No pass starts any more; waits for those that run. */
  stop(graceMs: number): Promise<void>;
}

const CONCURRENCY = 4;
/** How soon a deleted ConfigMap comes back; of the Secret's age nothing is due so fast. */
const LOOK_AT_AUTHORITY_MS = 60_000;

/** Keeps an authority, and signs what agents ask for. */
export function startCertificates(options: CertificatesOptions): Certificates {
  const { transport, namespace, agentServiceAccount, log, clock, metrics } = options;
  const timings = { ...defaultTimings, ...options.timings };
  const authorities = createAuthorityStore({ transport, namespace, clock, timings });
  const common = { judge: judgeSigning, log, clock };
  const authorityName = 'certificateauthority';
  const authority = startReconciler({
    ...common,
    name: authorityName,
    concurrency: 1,
    reconcile: async (_, signal) => {
      const step = await authorities.ensure(signal);
      const afterMs = Math.min(LOOK_AT_AUTHORITY_MS, timings.authorityMs / 10);
      return step === 'made' ? recheck(afterMs, 'made') : recheck(afterMs);
    },
    ...metrics.reconcilerHooks(authorityName),
  });
  const requestName = 'certificatesigningrequest';
  const signing = startReconciler({
    ...common,
    name: requestName,
    concurrency: CONCURRENCY,
    reconcile: createSigningReconcile({
      requests: createResourceClient(transport, signingRequestType),
      cached: (name) => requests.get(name),
      authorities,
      rules: { username: usernameOf(namespace, agentServiceAccount) },
      timings,
      clock,
    }),
    ...metrics.reconcilerHooks(requestName),
  });
  const requests = startReflector<CertificateSigningRequest>({
    transport,
    type: signingRequestType,
    fieldSelector: `spec.signerName=${TRANSFER_SIGNER}`,
    log,
    clock,
    onChange: ({ object }) => signing.enqueue(object.metadata.name),
  });
  authority.enqueue(namespace);
  return {
    async stop(graceMs) {
      await Promise.all([authority.stop(graceMs), signing.stop(graceMs), requests.stop()]);
    },
  };
}

function usernameOf(namespace: string, serviceAccount: string): string | undefined {
  return serviceAccount === '' ? undefined : `system:serviceaccount:${namespace}:${serviceAccount}`;
}
