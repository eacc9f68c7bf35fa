import type { KubeObject } from './object.ts';
import { coreType } from './resource-types.ts';

/** certificates.k8s.io/v1 CertificateSigningRequestCondition. */
export interface SigningCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly lastUpdateTime?: string | undefined;
}

/** certificates.k8s.io/v1 CertificateSigningRequest. Who asks (`username`, `extra`) is written by the API server alone. */
export interface CertificateSigningRequest extends KubeObject {
  readonly spec: {
    /** PEM in base64. */
    readonly request: string;
    readonly signerName: string;
    readonly expirationSeconds?: number | undefined;
    readonly usages?: readonly string[] | undefined;
    readonly username?: string | undefined;
    readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
  };
  readonly status?: {
    readonly conditions?: readonly SigningCondition[] | undefined;
    /** PEM in base64. */
    readonly certificate?: string | undefined;
  };
}

/** v1 Secret; values are base64. */
export interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>> | undefined;
}

/** v1 ConfigMap. */
export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>> | undefined;
}

export const signingRequestType = coreType<CertificateSigningRequest>(
  'certificates.k8s.io/v1',
  'CertificateSigningRequest',
  'certificatesigningrequests',
  false,
);
export const secretType = coreType<Secret>('v1', 'Secret', 'secrets', true);
export const configMapType = coreType<ConfigMap>('v1', 'ConfigMap', 'configmaps', true);

/** What the API server tells of a token that is bound to a pod: the node on which that pod is. */
const NODE_NAME_CLAIM = 'authentication.kubernetes.io/node-name';

/** The node that the asker was proven to be on; undefined unless there is exactly one. */
export function claimedNodeName({ spec }: CertificateSigningRequest): string | undefined {
  const claims = spec.extra?.[NODE_NAME_CLAIM] ?? [];
  return claims.length === 1 ? claims[0] : undefined;
}

export type SigningState = 'pending' | 'approved' | 'issued' | 'denied' | 'failed';

/** How far a request is. One that was denied or failed stays so, whatever else it has. */
export function signingStateOf({ status }: CertificateSigningRequest): SigningState {
  const has = (type: string) => status?.conditions?.some((condition) => condition.type === type) === true;
  if (has('Denied')) return 'denied';
  if (has('Failed')) return 'failed';
  if (status?.certificate !== undefined && status.certificate !== '') return 'issued';
  return has('Approved') ? 'approved' : 'pending';
}
