import { TRANSFER_SIGNER } from '../../api/group.ts';
import { type CertificateSigningRequest, claimedNodeName } from '../../kube/certificate-types.ts';
import { nodeUri } from '../../net/certificates/node-uri.ts';
import { parseSigningRequest, type SigningRequest } from '../../net/certificates/parse-signing-request.ts';

/** A request that must not be signed; the word and the message become its condition. */
export interface Refusal {
  readonly kind: 'refusal';
  readonly reason: RefusalReason;
  readonly message: string;
}

export type RefusalReason = 'WrongUser' | 'NoNodeClaim' | 'WrongUsages' | 'UnreadableRequest' | 'WrongName';

/** A request that may be signed, with what is certified. */
export interface Acceptance {
  readonly kind: 'acceptance';
  readonly nodeName: string;
  readonly request: SigningRequest;
}

export interface SignerRules {
  /** The only user whose requests are signed; undefined: any that proves its node. */
  readonly username: string | undefined;
}

/** What a certificate of an agent is for. */
export const TRANSFER_USAGES = ['client auth', 'digital signature', 'server auth'] as const;

/**
 * Whether a request is signed: only that of an agent which the API server has proven to be on the very node whose name it
 * asks for. Pure.
 */
export function decideSigning(object: CertificateSigningRequest, { username }: SignerRules): Acceptance | Refusal {
  const { spec } = object;
  // The watch is for this signer only; this is for the day it is not.
  if (spec.signerName !== TRANSFER_SIGNER) return refusal('UnreadableRequest', `not for signer ${TRANSFER_SIGNER}`);
  if (username !== undefined && spec.username !== username) {
    return refusal('WrongUser', `only ${username} may ask for a certificate of this signer`);
  }
  const nodeName = claimedNodeName(object);
  if (nodeName === undefined) {
    return refusal('NoNodeClaim', 'the token of the asker is not bound to a pod on a node (no claim of a node name)');
  }
  if ([...(spec.usages ?? [])].sort().join() !== TRANSFER_USAGES.join()) {
    return refusal('WrongUsages', `usages have to be ${TRANSFER_USAGES.join(', ')}`);
  }
  let request: SigningRequest;
  try {
    request = parseSigningRequest(Buffer.from(spec.request, 'base64').toString('utf8'));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return refusal('UnreadableRequest', `the request can't be signed: ${error.message}`);
  }
  const expected = nodeUri(nodeName);
  if (request.altNameCount !== 1 || request.uris[0] !== expected) {
    return refusal('WrongName', `an agent on node ${nodeName} may ask for the name ${expected} and no other`);
  }
  return { kind: 'acceptance', nodeName, request };
}

function refusal(reason: RefusalReason, message: string): Refusal {
  return { kind: 'refusal', reason, message };
}
