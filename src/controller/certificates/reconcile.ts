import { formatTime } from '../../api/conditions.ts';
import { type CertificateSigningRequest, type SigningCondition, signingStateOf } from '../../kube/certificate-types.ts';
import type { ResourceClient } from '../../kube/resource-client.ts';
import { issueCertificate } from '../../net/certificates/authority.ts';
import { nodeUri } from '../../net/certificates/node-uri.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Outcome, recheck, settled, settledAfter, waiting } from '../../runtime/outcome.ts';
import type { CertificateTimings } from './authorities.ts';
import type { AuthorityStore } from './authority-store.ts';
import { type Acceptance, decideSigning, type Refusal, type SignerRules } from './refuse.ts';

export interface SigningReconcileOptions {
  readonly requests: ResourceClient<CertificateSigningRequest>;
  readonly cached: (name: string) => CertificateSigningRequest | undefined;
  readonly authorities: Pick<AuthorityStore, 'signer'>;
  readonly rules: SignerRules;
  readonly timings: CertificateTimings;
  readonly clock: Clock;
}

/** The authority is made at the same time, by its own pass. */
const NO_AUTHORITY_MS = 500;

/**
 * The part of the controller in the life of a CertificateSigningRequest of an agent: refused or approved, signed, and removed
 * when it is of no more use. Each pass does the next step; a crash between two leaves one that is taken up again.
 */
export function createSigningReconcile(options: SigningReconcileOptions) {
  const { cached, rules } = options;
  return async (name: string, signal: AbortSignal): Promise<Outcome> => {
    const request = cached(name);
    if (request === undefined) return settled;
    const state = signingStateOf(request);
    switch (state) {
      case 'issued':
        return await removeAfter(options.timings.keepSignedMs, request, options, signal);
      case 'denied':
      case 'failed':
        return await removeAfter(options.timings.keepRefusedMs, request, options, signal);
      case 'pending':
      case 'approved': {
        const verdict = decideSigning(request, rules);
        if (verdict.kind === 'refusal') return await refuse(request, state, verdict, options, signal);
        return await sign(request, state, verdict, options, signal);
      }
      default:
        return state satisfies never;
    }
  };
}

/** What a person approved, who can't know the rules, can't be denied any more: it fails. */
async function refuse(
  request: CertificateSigningRequest,
  state: 'pending' | 'approved',
  { reason, message }: Refusal,
  { requests, clock }: SigningReconcileOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const type = state === 'pending' ? 'Denied' : 'Failed';
  const status = { conditions: withCondition(request, { type, reason, message }, clock) };
  const subresource = state === 'pending' ? 'approval' : 'status';
  await requests.patch(request.metadata.name, onlyIfUnchanged(request, status), { type: 'merge', subresource, signal });
  return settledAfter('refused');
}

async function sign(
  request: CertificateSigningRequest,
  state: 'pending' | 'approved',
  acceptance: Acceptance,
  { requests, authorities, timings, clock }: SigningReconcileOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { nodeName } = acceptance;
  const authority = await authorities.signer(signal);
  if (authority === undefined) return waiting(NO_AUTHORITY_MS, 'NoAuthority', 'no authority was made yet');
  let approved = request;
  if (state === 'pending') {
    const message = `the asker was proven to be on node ${nodeName}`;
    const status = {
      conditions: withCondition(request, { type: 'Approved', reason: NODE_PROVEN, message }, clock),
    };
    const patch = onlyIfUnchanged(request, status);
    approved = await requests.patch(request.metadata.name, patch, { type: 'merge', subresource: 'approval', signal });
  }
  const now = clock.now();
  const askedMs = (request.spec.expirationSeconds ?? Number.POSITIVE_INFINITY) * 1000;
  const certificate = issueCertificate(authority, {
    now,
    notAfter: new Date(now.getTime() + Math.min(askedMs, timings.certificateMs)),
    commonName: nodeName,
    uri: nodeUri(nodeName),
    publicKey: acceptance.request.publicKey,
  });
  const status = { certificate: Buffer.from(certificate).toString('base64') };
  const patch = onlyIfUnchanged(approved, status);
  await requests.patch(request.metadata.name, patch, { type: 'merge', subresource: 'status', signal });
  return settledAfter('signed');
}

const NODE_PROVEN = 'NodeProven';

async function removeAfter(
  keepMs: number,
  request: CertificateSigningRequest,
  { requests, clock }: SigningReconcileOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { name, uid, creationTimestamp = '' } = request.metadata;
  const times = [creationTimestamp, ...(request.status?.conditions ?? []).map((one) => one.lastUpdateTime ?? '')];
  const lastMs = Math.max(...times.map(Date.parse).filter((ms) => !Number.isNaN(ms)));
  const leftMs = lastMs + keepMs - clock.now().getTime();
  if (leftMs > 0) return recheck(leftMs);
  await requests.delete(name, { uid, signal });
  return settledAfter('removed');
}

function withCondition(
  { status }: CertificateSigningRequest,
  condition: Pick<SigningCondition, 'type' | 'reason' | 'message'>,
  clock: Clock,
): SigningCondition[] {
  const lastUpdateTime = formatTime(clock.now());
  return [...(status?.conditions ?? []), { ...condition, status: 'True', lastUpdateTime }];
}

/** A patch that fails with a conflict when someone else was there first. */
function onlyIfUnchanged({ metadata }: CertificateSigningRequest, status: object) {
  return { metadata: { uid: metadata.uid, resourceVersion: metadata.resourceVersion }, status };
}
