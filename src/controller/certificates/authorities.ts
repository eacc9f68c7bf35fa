import { X509Certificate } from 'node:crypto';
import { type Authority, isWhole } from '../../net/certificates/authority.ts';
import { pemBlocks } from '../../net/certificates/pem.ts';

export interface CertificateTimings {
  /** Life of an authority. In the middle of it the next one is made. */
  readonly authorityMs: number;
  /** A new authority signs when all agents have had so long to hear of it. */
  readonly propagationMs: number;
  /** The longest life of a certificate of a node. */
  readonly certificateMs: number;
  /** How long a request is kept after it was signed, for its agent to fetch, or refused, for people to read. */
  readonly keepSignedMs: number;
  readonly keepRefusedMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const defaultTimings: CertificateTimings = {
  authorityMs: 365 * DAY_MS,
  propagationMs: HOUR_MS,
  certificateMs: DAY_MS,
  keepSignedMs: 10 * 60_000,
  keepRefusedMs: HOUR_MS,
};

export interface AuthorityDecision {
  /** Those that are still valid, the newest first. */
  readonly kept: readonly Authority[];
  /** There is none, or the newest has half of its life behind it. */
  readonly needsNew: boolean;
  /** Who signs: the newest of those that all agents know; undefined if there is none. */
  readonly signer: Authority | undefined;
}

/** Which of the authorities stay, who signs, and whether it is time for a new one. Pure. */
export function decideAuthorities(
  known: readonly Authority[],
  now: Date,
  { authorityMs, propagationMs }: CertificateTimings,
): AuthorityDecision {
  const valid = known
    .map((authority) => ({ authority, endsAtMs: new X509Certificate(authority.certificatePem).validToDate.getTime() }))
    .filter(({ endsAtMs }) => endsAtMs > now.getTime())
    .sort((a, b) => b.endsAtMs - a.endsAtMs);
  const ageMs = ({ endsAtMs }: { readonly endsAtMs: number }) => now.getTime() - (endsAtMs - authorityMs);
  const [newest] = valid;
  // While there is only one, waiting for agents to hear of it would help nobody.
  const signer = valid.find((one) => ageMs(one) >= propagationMs) ?? newest;
  return {
    kept: valid.map(({ authority }) => authority),
    needsNew: newest === undefined || ageMs(newest) >= authorityMs / 2,
    signer: signer?.authority,
  };
}

/** Keys of the Secret: certificates and keys in PEM, one after the other, the newest first. */
const CERTIFICATES_KEY = 'ca.crt';
const KEYS_KEY = 'ca.key';

/** The authorities that a Secret holds; none if it is empty. Throws TypeError on what is no such Secret. */
export function parseAuthorities(data: Readonly<Record<string, string>> | undefined): Authority[] {
  const textOf = (key: string) => Buffer.from(data?.[key] ?? '', 'base64').toString('utf8');
  const certificates = pemBlocks('CERTIFICATE', textOf(CERTIFICATES_KEY));
  const keys = pemBlocks('PRIVATE KEY', textOf(KEYS_KEY));
  const authorities = certificates.map((certificatePem, i) => ({ certificatePem, keyPem: keys[i] ?? '' }));
  if (keys.length !== certificates.length || !authorities.every(isUsable)) {
    throw new TypeError(`${CERTIFICATES_KEY} and ${KEYS_KEY} do not fit together`);
  }
  return authorities;
}

function isUsable(authority: Authority): boolean {
  try {
    return isWhole(authority);
  } catch {
    return false;
  }
}

/** What the Secret holds of these authorities. */
export function authorityData(authorities: readonly Authority[]): Record<string, string> {
  const joined = (part: (authority: Authority) => string) =>
    Buffer.from(authorities.map(part).join('')).toString('base64');
  return {
    [CERTIFICATES_KEY]: joined(({ certificatePem }) => certificatePem),
    [KEYS_KEY]: joined(({ keyPem }) => keyPem),
  };
}
