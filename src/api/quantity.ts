/** A Kubernetes quantity as it stands in a spec: `1Gi`, `1.5Gi`, `500M`, `1e9`, `1073741824`. */
export type Quantity = string | number;

/** Sizes of btrfs and of image files are multiples of this many bytes. */
export const SECTOR_BYTES = 4096;

const QUANTITY = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([eE])([+-]?\d{1,3})|([KMGTPE]i|[numkMGTPE])?)$/;
const DECIMAL_EXPONENTS: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY_UNITS: readonly string[] = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
/** More decimal places than any sane size has; a bound on the work that an exponent can ask for. */
const MAX_EXPONENT = 30;

/**
 * The bytes that a quantity stands for, a fraction rounded up (as Kubernetes does); exact up to 2^53 − 1.
 * Throws TypeError if `value` is no quantity, negative, or above that.
 */
export function parseQuantity(value: Quantity): number {
  const text = String(value);
  const match = QUANTITY.exec(text);
  if (match === null)
    throw new TypeError(`not a quantity: ${JSON.stringify(value)}; write a size such as 1Gi, 500M or 1073741824`);
  const [, sign, digits = '', , exponentText, suffix = ''] = match;
  const exponent = exponentText === undefined ? (DECIMAL_EXPONENTS[suffix] ?? 0) : Number(exponentText);
  if (Math.abs(exponent) > MAX_EXPONENT)
    throw new TypeError(`exponent out of range in quantity ${JSON.stringify(value)}`);
  const bytes = scaled(digits, exponent, binaryFactor(suffix));
  if (sign === '-' && bytes > 0n) throw new TypeError(`a size is not negative: ${JSON.stringify(value)}`);
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER))
    throw new TypeError(`a size is 2^53 − 1 bytes at most: ${JSON.stringify(value)}`);
  return Number(bytes);
}

/** `digits × 10^exponent × factor`, rounded up, without floating point. */
function scaled(digits: string, exponent: number, factor: bigint): bigint {
  const [whole = '', fraction = ''] = digits.split('.');
  const places = exponent - fraction.length;
  const product = BigInt(whole + fraction) * factor * 10n ** BigInt(Math.max(places, 0));
  const divisor = 10n ** BigInt(Math.max(-places, 0));
  return (product + divisor - 1n) / divisor;
}

function binaryFactor(suffix: string): bigint {
  return 1024n ** BigInt(BINARY_UNITS.indexOf(suffix) + 1);
}

/** Bytes as people write them: the largest binary unit, two decimals at most: `256Mi`, `1.5Gi`, `953.67Mi`, `512`. */
export function formatBytes(bytes: number): string {
  if (bytes < 0) return `-${formatBytes(-bytes)}`;
  let unit = '';
  let amount = bytes;
  for (const next of BINARY_UNITS) {
    // NOTE: the rounded amount decides, or 1048575 bytes would read 1024Ki.
    if (rounded(amount) < 1024) break;
    amount /= 1024;
    unit = next;
  }
  return `${rounded(amount)}${unit}`;
}

function rounded(amount: number): number {
  return Math.round(amount * 100) / 100;
}

/** The smallest multiple of 4096 that is not below `bytes`. */
export function roundUpToSector(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}
